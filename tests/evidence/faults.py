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
    """``act`` at ``at`` seconds into the round; with ``lasts``, ``undo`` that much later.

    Both may add to the counts of what they did.
    """

    name: str
    at: float
    lasts: float
    act: Callable[[Counter[str]], None]
    undo: Callable[[Counter[str]], None] | None = None


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
        name, at, lasts, lambda _: program.signal(signal.SIGSTOP), lambda _: program.signal(signal.SIGCONT)
    )


def _stall(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    owner = rng.choice(cluster.replicas).name

    def release(counts: Counter[str]) -> None:
        counts["chunks_held"] += cluster.proxy.release(owner)

    lasts = rng.uniform(0.05, 2 * cluster.lease)
    return Fault("stall", at, lasts, lambda _: cluster.proxy.hold(owner), release)


def _break(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    owner = rng.choice(cluster.replicas).name

    def cut(counts: Counter[str]) -> None:
        counts["connections_cut"] += cluster.proxy.cut(owner)

    return Fault("break", at, 0.0, cut)


def _stall_and_break(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    """What the primary had sent is lost."""
    owner = rng.choice(cluster.replicas).name

    def end(counts: Counter[str]) -> None:
        counts["connections_cut"] += cluster.proxy.cut(owner)
        counts["chunks_lost"] += cluster.proxy.release(owner)

    return Fault(
        "stall_break", at, rng.uniform(0.05, cluster.lease), lambda _: cluster.proxy.hold(owner), end
    )


def _kill(cluster: ShardCluster, rng: random.Random, at: float) -> Fault:
    def start(_: Counter[str]) -> None:
        cluster.primary.start()

    return Fault("kill_primary", at, rng.uniform(0.0, 0.5), lambda _: cluster.primary.kill(), start)


def inject(faults: list[Fault], started: float, counts: Counter[str]) -> list[int]:
    """Carries them out, each in its own time from ``started`` (monotonic); when all are undone, returns the
    moments at which they began, in ns.

    Raises:
        Exception: the first that one of them raised.
    """
    failures: list[Exception] = []
    moments: list[int] = []
    done: list[Counter[str]] = []

    def carry_out(fault: Fault) -> None:
        did = Counter({fault.name: 1})
        try:
            nap_until(started + fault.at)
            moments.append(time.monotonic_ns())
            fault.act(did)
            if fault.undo:
                time.sleep(fault.lasts)
                fault.undo(did)
            done.append(did)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=carry_out, args=(fault,), name=fault.name) for fault in faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    for did in done:
        counts.update(did)
    return moments
