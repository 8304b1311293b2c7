"""What happens to a shard in one round of the coherence run."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.evidence.cluster import ShardCluster
from tests.evidence.processes import Program, nap_until


@dataclass(frozen=True, slots=True)
class Fault:
    """``act`` at ``at`` seconds into the round; with ``lasts``, ``undo`` that much later."""

    name: str
    at: float
    lasts: float
    act: Callable[[], object]
    undo: Callable[[], object] | None = None


def draw(cluster: ShardCluster, rng: random.Random, seconds: float) -> list[Fault]:
    """One to three faults of a round of ``seconds``; pauses may outlast the lease."""
    kinds = [_pause_replica, _pause_primary, _pause_coordinator, _stall, _break, _stall_and_break, _kill]
    faults = []
    for kind in rng.sample(kinds, rng.randint(1, 3)):
        at = rng.uniform(0.1, seconds * 0.6)
        faults.append(kind(cluster, rng, at))
    return faults


def _pause_replica(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    return _pause("pause_replica", rng.choice(cluster.replicas), rng.uniform(0.05, 2 * cluster.lease), at)


def _pause_primary(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    return _pause("pause_primary", cluster.primary, rng.uniform(0.05, 1.5 * cluster.lease), at)


def _pause_coordinator(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    return _pause("pause_coordinator", cluster.coordinator, rng.uniform(0.05, 1.5 * cluster.lease), at)


def _pause(name: str, program: Program, lasts: float, at: float) -> Fault:
    return Fault(
        name, at, lasts, lambda: program.signal(signal.SIGSTOP), lambda: program.signal(signal.SIGCONT)
    )


def _stall(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    owner = rng.choice(cluster.replicas).name
    lasts = rng.uniform(0.05, 2 * cluster.lease)
    return Fault("stall", at, lasts, lambda: cluster.proxy.hold(owner), lambda: cluster.proxy.release(owner))


def _break(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    owner = rng.choice(cluster.replicas).name
    return Fault("break", at, 0.0, lambda: cluster.proxy.cut(owner))


def _stall_and_break(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    """What the primary had sent is lost."""
    owner = rng.choice(cluster.replicas).name

    def end() -> None:
        cluster.proxy.cut(owner)
        cluster.proxy.release(owner)

    return Fault("stall_break", at, rng.uniform(0.05, cluster.lease), lambda: cluster.proxy.hold(owner), end)


def _kill(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    return Fault("kill_primary", at, rng.uniform(0.0, 0.5), cluster.primary.kill, cluster.primary.start)


def inject(faults: list[Fault], started: float, counts: Counter[str]) -> None:
    """Carries them out, each in its own time from ``started`` (monotonic); returns when all are undone.

    Raises:
        Exception: the first that one of them raised.
    """
    failures: list[Exception] = []

    def carry_out(fault: Fault) -> None:
        try:
            nap_until(started + fault.at)
            fault.act()
            counts[fault.name] += 1
            if fault.undo:
                time.sleep(fault.lasts)
                fault.undo()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=carry_out, args=(fault,), name=fault.name) for fault in faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
