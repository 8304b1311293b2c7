"""Is what clients see through cache replicas what was promised, while everything around them breaks?

Each round: readers and writers on a few keys of one shard through its replicas, one to three faults, then
quiet, in which every replica is asked for each key once more: what stayed stale shows. Writers pause by
turns, and most keys are written seldom: on a key that is written all the time a stale entry does not live
until it is seen. The recorded history has to be linearizable for strong reads, keep every session's
guarantees and every bound.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aidb.client import Client
from tests.checkers import bounded, linearizable, session, versions
from tests.checkers.history import Consistency, Violation
from tests.evidence import faults, mutant
from tests.evidence.cluster import ShardCluster
from tests.evidence.crew import Crew, Work
from tests.evidence.failures import Failures, count_failures, lost, refused
from tests.evidence.processes import nap_until
from tests.evidence.recorder import Record, Session
from tests.evidence.report import Report, options

HOT_KEYS, COOL_KEYS = 4, 12
WRITERS, READERS = 3, 5
SECONDS = 2.5
BURST = 0.25
BOUNDS = (0.15, 0.4, 1.0)
CALM_BOUND = 0.25
# Of what replicas hear, at most; one replica at least has some, so that a fill's answer may come too late.
NETWORK_DELAYS = (0.0, 0.01, 0.05)
PATIENCE = (4.0, 0.3, 0.1)
MUTANT_ROUNDS = 40
CACHE_COUNTS = ("hits", "forwards", "fills", "refused_fills", "invalidations", "flushes")
# What has to have happened for a long run to prove anything, and the fault that does it.
DAMAGE = {
    "replica_flushes": "kill_primary",
    "connections_cut": "break",
    "chunks_lost": "stall_break",
    "chunks_held": "stall",
    "lost_calls": "pause_primary",
}
ENOUGH_FAULTS = 5


@dataclass(frozen=True, slots=True)
class RoundResult:
    """``in_flight``: recorded calls that were under way when a fault began."""

    record: Record
    violations: list[Violation]
    in_flight: int


class Coherence:
    """A cluster and its clients, for many rounds."""

    def __init__(self, cluster: ShardCluster, clients: list[Client], rng: random.Random) -> None:
        self.cluster = cluster
        self._clients = clients
        self._failures = [count_failures(client) for client in clients]
        self._rng = rng
        self._round = 0
        self._sessions = 0

    def round(self, wanted: list[faults.Fault], counts: Counter[str]) -> RoundResult:
        """One round with these faults; keys of its own."""
        self._round += 1
        keys = [b"round-%d-%d" % (self._round, number) for number in range(HOT_KEYS + COOL_KEYS)]
        delays = self._rng.sample(NETWORK_DELAYS, len(self.cluster.replicas))
        for replica, delay in zip(self.cluster.replicas, delays, strict=True):
            self.cluster.proxy.delay(replica.name, delay)
        crew = Crew([*self._workers(keys)])
        with crew:
            started = time.monotonic()
            moments = faults.inject(wanted, started, counts)
            nap_until(started + SECONDS)
            self.cluster.wait_whole()
        record = crew.record()
        record.merge(self._calm(keys))
        history = record.operations
        found: list[Violation] = [
            *versions.check(history),
            *linearizable.check(history),
            *session.check(history),
            *bounded.check(history),
        ]
        in_flight = sum(any(call.start < moment < call.end for moment in moments) for call in history)
        return RoundResult(record, found, in_flight)

    def caches(self) -> Counter[str]:
        """What the replicas' caches did so far."""
        members = self._clients[0].stats()
        caches = [members[replica.name]["cache"] for replica in self.cluster.replicas]
        return Counter({f"replica_{name}": sum(cache[name] for cache in caches) for name in CACHE_COUNTS})

    def failures(self) -> Failures:
        """Sends that failed under the clients' retries so far, by cause."""
        total: Failures = Counter()
        for failures in self._failures:
            total += failures
        return total

    def _workers(self, keys: list[bytes]) -> Iterator[tuple[Session, Work]]:
        for number in range(WRITERS + READERS):
            first = self._clients[number]
            # Every other session moves between two clients.
            clients = [first, self._clients[-1 - number % 2]] if number % 2 else [first]
            yield self._session(clients), _writing(keys) if number < WRITERS else _reading(keys)

    def _session(self, clients: list[Client]) -> Session:
        self._sessions += 1
        return Session(self._sessions, clients, random.Random(self._rng.random()), self.cluster.lease)

    def _calm(self, keys: list[bytes]) -> Record:
        """Nothing is written any more and the bound has passed: a replica may only have the newest."""
        time.sleep(CALM_BOUND)
        quiet = self._session([self._clients[0]])
        for key in keys:
            quiet.get(key, Consistency.STRONG)
        for client in self._clients:  # rendezvous and round robin: all replicas
            reader = self._session([client])
            for key in keys * len(self.cluster.replicas):
                reader.get(key, Consistency.BOUNDED, CALM_BOUND)
            quiet.record.merge(reader.record)
        return quiet.record


def _choose(keys: list[bytes], rng: random.Random) -> bytes:
    return rng.choice(keys[:HOT_KEYS] if rng.random() < 0.6 else keys[HOT_KEYS:])


def _writing(keys: list[bytes]) -> Work:
    def work(session: Session) -> None:
        if int(time.monotonic() / BURST) % 2:
            time.sleep(BURST / 10)
            return
        key = _choose(keys, session.rng)
        kind = session.rng.random()
        if kind < 0.55:
            session.put(key)
        elif kind < 0.65:
            session.delete(key)
        elif kind < 0.75:
            session.swap(key)
        else:
            session.get(key, Consistency.SESSION)
        time.sleep(session.rng.uniform(0, 0.01))

    return work


def _reading(keys: list[bytes]) -> Work:
    def work(session: Session) -> None:
        key = _choose(keys, session.rng)
        kind = session.rng.random()
        if kind < 0.5:
            session.get(key, Consistency.SESSION)
        elif kind < 0.75:
            session.get(key, Consistency.BOUNDED, session.rng.choice(BOUNDS))
        elif kind < 0.85:
            session.get(key, Consistency.EVENTUAL)
        elif kind < 0.95:
            session.get(key, Consistency.STRONG)
        else:
            session.put(key)
        time.sleep(session.rng.uniform(0, 0.005))

    return work


@contextmanager
def running(rng: random.Random, environment: Mapping[str, str] | None = None) -> Iterator[Coherence]:
    """A cluster with its clients; all gone at the end."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aidb-coherence-")))
        cluster = stack.enter_context(ShardCluster(root, rng, node_environment=environment))
        # Two more than sessions: those that sessions move to.
        clients = [
            stack.enter_context(
                cluster.connect(("rendezvous", "round_robin")[number % 2], PATIENCE[number % 3])
            )
            for number in range(WRITERS + READERS + 2)
        ]
        yield Coherence(cluster, clients, rng)


def run(rounds: int, seed: int, report: Report) -> None:
    """The product as it is: no violation is expected."""
    rng = random.Random(seed)
    numbers = report.numbers
    with running(rng) as coherence:
        for _ in range(rounds):
            wanted = faults.draw(coherence.cluster, rng, SECONDS)
            result = coherence.round(wanted, numbers)
            report.round(describe(wanted, result), [*result.violations, *result.record.surprises])
            _count(numbers, result)
        numbers.update(coherence.caches())
        failures = coherence.failures()
        numbers.update(lost_calls=lost(failures), refused_connections=refused(failures))


def rounds_to_catch(fault: str, overlay: Path, seed: int) -> int:
    """Rounds until the checkers catch this defect; 0 = they did not within MUTANT_ROUNDS."""
    rng = random.Random(seed)
    with running(rng, mutant.environment(overlay, fault)) as coherence:
        for number in range(1, MUTANT_ROUNDS + 1):
            wanted = faults.draw(coherence.cluster, rng, SECONDS)
            result = coherence.round(wanted, Counter())
            found = len(result.violations)
            print(f"mutant {fault} {describe(wanted, result)} violations={found}", flush=True)
            if found:
                print(f"  caught: {result.violations[0]}", flush=True)
                return number
    return 0


def describe(wanted: list[faults.Fault], result: RoundResult) -> str:
    """For the log."""
    did = ",".join(f"{fault.name}:{fault.lasts:.2f}s" for fault in wanted)
    unknown = result.record.counts["unknown"]
    calls = len(result.record.operations)
    return f"faults={did} operations={calls} in_flight_at_faults={result.in_flight} unknown={unknown}"


def did_damage(numbers: Counter[str]) -> bool:
    """Replicas answered from caches that writes invalidated, and the faults hit what was under way."""
    worked = ("replica_hits", "replica_forwards", "replica_invalidations", "calls_in_flight_at_faults")
    often = [effect for effect, fault in DAMAGE.items() if numbers[fault] >= ENOUGH_FAULTS]
    return all(numbers[name] > 0 for name in (*worked, *often))


def _count(numbers: Counter[str], result: RoundResult) -> None:
    counts = result.record.counts
    numbers["calls_in_flight_at_faults"] += result.in_flight
    for name in ("acknowledged", "unknown", "failed_reads", "failed_writes"):
        numbers[name] += counts[name]
    for consistency in Consistency:
        numbers[f"{consistency}_reads"] += counts[f"{consistency}_reads"]


def main() -> int:
    """Exit code 0 only when nothing was violated, the faults did damage and every mutant was caught."""
    asked = options("coherence")
    report = Report("coherence", asked.seed)
    started = time.monotonic()
    overlay = mutant.build()
    run(asked.rounds, asked.seed, report)
    needed = {fault: rounds_to_catch(fault, overlay, asked.seed) for fault in mutant.FAULTS}
    caught = sum(1 for rounds in needed.values() if rounds)
    told = {f"{fault}_caught_in_round": rounds for fault, rounds in needed.items()}
    mutants = f"{caught}/{len(needed)}"
    print(report.last_line(mutants=mutants, **told, seconds=round(time.monotonic() - started)))
    return report.exit_code(asked.rounds, holds=caught == len(needed) and did_damage(report.numbers))


if __name__ == "__main__":
    sys.exit(main())
