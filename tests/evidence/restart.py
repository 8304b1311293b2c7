"""Does a cluster as users run it keep every acknowledged write when its processes are killed?

`aidb up`'s own machinery runs three shards, six replicas, a router, a coordinator and the supervisor that
restarts them. Each round kills one of them with -9, or all at once, at a random moment under writers and
readers, some of which know only the router; every other time what came back is killed once more while it
starts. The supervisor brings back what was killed, or, if it was killed itself, a second `up` does. Then
every key of the round must hold its newest acknowledged write or a later one; at the end of the run, every
key of all rounds. Keys must be linearizable besides: what clients sent again by themselves happened once.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import aidb
from aidb.client import Client
from aidb.local.cluster import LocalCluster
from aidb.local.processes import Process, find
from tests.checkers import durable, linearizable, session, versions
from tests.checkers.history import Consistency, Operation
from tests.evidence.crew import Crew, Work
from tests.evidence.failures import Failures, count_failures, lost, refused
from tests.evidence.local import REPLICAS, WHOLE_SECONDS, local_cluster
from tests.evidence.processes import nap_until
from tests.evidence.recorder import Database, Record, Session
from tests.evidence.report import Report, options
from tests.evidence.routed import RoutedClient
from tests.evidence.status import wait_whole

WRITERS, READERS = 3, 3
HOT_KEYS = 8
PADDING = 200
CALL_SECONDS = 60.0
RETRY = aidb.Retry(budget=1000.0, per_second=100.0)
EVERYTHING = "everything"
VICTIMS = ("primary", "replica", "router", "coordinator", "supervisor", EVERYTHING)
# Clients have connections to these, so that a kill that breaks none has proved nothing.
CONNECTED = ("primary", "replica", "router", EVERYTHING)
# After so many kills of a kind one at least must have hit a call.
ENOUGH_KILLS = 5


@dataclass(frozen=True, slots=True)
class Hand:
    """A client, what it does, and the sends that failed under it."""

    database: Database
    failures: Failures
    writes: bool


class Restart:
    """A local cluster and its clients, for many rounds."""

    def __init__(
        self, cluster: LocalCluster, reader: Client, hands: list[Hand], rng: random.Random, report: Report
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._hands = hands
        self._rng = rng
        self._report = report
        self._round = 0
        self._sessions = 0
        self._writes: list[Operation] = []

    def round(self, victim: str) -> None:
        """Kills ``victim`` under load, waits until all is whole again, and checks."""
        self._round += 1
        before = self._failures()
        written: list[bytes] = []
        kills: list[int] = []
        with Crew(list(self._workers(written))) as crew:
            nap_until(time.monotonic() + self._rng.uniform(0.3, 1.3))
            killed = self._choose(victim)
            kills.append(self._kill(killed))
            problem = self._wait_restarted(killed)
            if not problem and self._rng.random() < 0.5:
                nap_until(time.monotonic() + self._rng.uniform(0.0, 0.5))
                again = {name: process for name, process in self._running().items() if name in killed}
                kills.append(self._kill(again))
                problem = self._wait_restarted(again)
            problem = problem or self._wait_whole()
            seconds = (time.monotonic_ns() - kills[0]) / 1e9
        record = crew.record()
        calls = {(call.session, call.start, call.end) for call in record.operations}
        spanning = sum(any(start < kill < end for kill in kills) for _, start, end in calls)
        failures = self._failures() - before
        violations = [*([problem] if problem else []), *self._check(record)]
        self._report.round(
            f"killed={victim}({len(killed)}x{len(kills)}) calls_in_flight={spanning} lost={lost(failures)} "
            f"refused={refused(failures)} acknowledged={record.counts['acknowledged']} "
            f"unknown={record.counts['unknown']} whole_after={seconds:.1f}s "
            f"slowest_read={record.slowest_read:.2f}s failed={dict(record.failures)}",
            violations,
        )
        numbers = self._report.numbers
        numbers["kills"] += len(killed) * len(kills)
        numbers[f"rounds_killing_{victim}"] += 1
        numbers["calls_in_flight_at_kills"] += spanning
        numbers["lost_calls"] += lost(failures)
        numbers["refused_connections"] += refused(failures)
        numbers[f"calls_hit_killing_{victim}"] += lost(failures) + refused(failures)
        for name in ("acknowledged", "unknown", "failed_writes", "session_reads", "failed_reads"):
            numbers[name] += record.counts[name]
        slowest = f"slowest_read_ms_killing_{victim}"
        numbers[slowest] = max(numbers[slowest], round(record.slowest_read * 1000))

    def check_all(self) -> list[str]:
        """Every key of every round once more."""
        return [*map(str, durable.check(self._writes, self._read_all(self._writes)))]

    def _check(self, record: Record) -> list[str]:
        history = record.operations
        writes = [call for call in history if call.writes]
        self._writes += writes
        found = [*versions.check(history), *session.check(history), *linearizable.check(history)]
        found += durable.check(writes, self._read_all(writes))
        violations = [*map(str, found), *record.surprises]
        if record.counts["failed_reads"]:
            violations.append(f"reads failed: {dict(record.failures)}")
        return violations

    def _read_all(self, writes: Iterable[Operation]) -> dict[bytes, durable.Found]:
        keys = sorted({write.key for write in writes})
        found: dict[bytes, durable.Found] = {}
        for first in range(0, len(keys), 1000):
            part = keys[first : first + 1000]
            entries = self._reader.get_entries(part, consistency="strong")
            found.update({e.key: (e.value, e.version) for e in entries if e is not None})
        return found

    def _failures(self) -> Failures:
        total: Failures = Counter()
        for hand in self._hands:
            total += hand.failures
        return total

    def _running(self) -> dict[str, Process]:
        """Every program by name, the supervisor too."""
        running = {found.name: found.process for found in find(self._cluster.description.cluster_uid)}
        supervisor = Process.of(self._cluster.supervisor or 0)
        return {**running, **({"supervisor": supervisor} if supervisor else {})}

    def _choose(self, victim: str) -> dict[str, Process]:
        running = self._running()
        if victim == EVERYTHING:
            return running
        name = self._rng.choice(sorted(name for name in running if victim in name))
        return {name: running[name]}

    def _kill(self, victims: dict[str, Process]) -> int:
        """Returns the moment of the first signal, in ns."""
        names = sorted(victims)
        self._rng.shuffle(names)
        # The supervisor first: it would bring back the first of the others before the last of them is gone.
        names.sort(key=lambda name: name != "supervisor")
        moment = time.monotonic_ns()
        for name in names:
            victims[name].signal(signal.SIGKILL)
        return moment

    def _wait_restarted(self, killed: dict[str, Process]) -> str:
        """Until there is a new process for each; what is still missing after WHOLE_SECONDS, or nothing."""
        end = time.monotonic() + WHOLE_SECONDS
        while any(process.alive for process in killed.values()) and time.monotonic() < end:
            time.sleep(0.01)
        if "supervisor" in killed:
            self._cluster.start(owned=False)
        while True:
            now = self._running()
            away = [name for name, process in killed.items() if now.get(name, process) == process]
            if not away:
                return ""
            if time.monotonic() > end:
                words = "; ".join(f"{name}: {self._cluster.last_words(name)}" for name in away)
                return f"not restarted after {WHOLE_SECONDS:.0f} s: {words}"
            time.sleep(0.02)

    def _wait_whole(self) -> str:
        pids = {name: process.pid for name, process in self._running().items()}
        return wait_whole(self._cluster.address, REPLICAS, WHOLE_SECONDS, pids)

    def _workers(self, written: list[bytes]) -> Iterator[tuple[Session, Work]]:
        hot = [b"round-%d-hot-%d" % (self._round, number) for number in range(HOT_KEYS)]
        for hand in self._hands:
            self._sessions += 1
            rng = random.Random(self._rng.random())
            worker = Session(self._sessions, [hand.database], rng, lease=10.0)
            yield worker, _writing(hot, written) if hand.writes else _reading(written)


def _writing(hot: list[bytes], written: list[bytes]) -> Work:
    def work(session: Session) -> None:
        kind = session.rng.random()
        if kind < 0.5:
            key = b"single-" + session.unique()
            session.put(key, PADDING)
            written.append(key)
        elif kind < 0.6:
            values = {b"batch-" + session.unique(): session.unique(PADDING) for _ in range(20)}
            session.put_many(values)
            written.extend(values)
        elif kind < 0.8:
            session.put(session.rng.choice(hot), PADDING)
        elif kind < 0.9:
            session.swap(session.rng.choice(hot))
        else:
            session.delete(session.rng.choice(hot))

    return work


def _reading(written: list[bytes]) -> Work:
    def work(session: Session) -> None:
        if not written:
            time.sleep(0.001)
            return
        session.get(session.rng.choice(written), Consistency.SESSION)

    return work


@contextmanager
def running(rng: random.Random, report: Report) -> Iterator[Restart]:
    """A cluster with its clients; all gone at the end."""
    with ExitStack() as stack:
        cluster = stack.enter_context(local_cluster("restart"))
        hands = []
        for number in range(WRITERS + READERS):
            client = stack.enter_context(aidb.connect(cluster.address, timeout=CALL_SECONDS, retry=RETRY))
            hands.append(Hand(client, count_failures(client), writes=number < WRITERS))
        router = cluster.description.address("router-0")
        for writes in (True, False):
            routed = stack.enter_context(RoutedClient(router, CALL_SECONDS, random.Random(rng.random())))
            hands.append(Hand(routed, routed.failures, writes))
        reader = stack.enter_context(aidb.connect(cluster.address, timeout=CALL_SECONDS))
        yield Restart(cluster, reader, hands, rng, report)


def run(rounds: int, seed: int, report: Report) -> None:
    """Every kind of victim in turn, in random order."""
    rng = random.Random(seed)
    with running(rng, report) as restart:
        victims: list[str] = []
        for _ in range(rounds):
            victims = victims or rng.sample(VICTIMS, len(VICTIMS))
            restart.round(victims.pop())
        lost_writes = restart.check_all()
        for violation in lost_writes:
            print(f"  VIOLATION at the end: {violation}")
        report.violations += len(lost_writes)


def did_damage(numbers: Counter[str]) -> bool:
    """Kills hit calls in flight, and broke connections to every kind of victim killed often enough."""
    often = [victim for victim in CONNECTED if numbers[f"rounds_killing_{victim}"] >= ENOUGH_KILLS]
    return (
        numbers["calls_in_flight_at_kills"] > 0
        and numbers["lost_calls"] > 0
        and all(numbers[f"calls_hit_killing_{victim}"] for victim in often)
    )


def main() -> int:
    """Exit code 0 only when nothing was violated and the kills did damage."""
    asked = options("restart")
    report = Report("restart", asked.seed)
    started = time.monotonic()
    run(asked.rounds, asked.seed, report)
    print(report.last_line(seconds=round(time.monotonic() - started)))
    return report.exit_code(asked.rounds, holds=did_damage(report.numbers))


if __name__ == "__main__":
    sys.exit(main())
