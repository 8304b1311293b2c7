"""Does a cluster as users run it keep every acknowledged write when its processes are killed?

`aidb up`'s own machinery runs three shards, six replicas, a router, a coordinator and the supervisor that
restarts them. Each round kills one of them with -9, or all at once, at a random moment under writers and
readers; the supervisor brings back what was killed, or, if it was killed itself, a second `up` does. Then
every key of the round must hold its newest acknowledged write or a later one; at the end of the run, every
key of all rounds.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aidb
from aidb.client import Client
from aidb.local.cluster import LocalCluster
from aidb.local.description import Wish
from aidb.local.processes import Process, find
from tests.checkers import durable, session, versions
from tests.checkers.history import Consistency, Operation
from tests.evidence.crew import Crew, Work
from tests.evidence.processes import nap_until
from tests.evidence.recorder import Record, Session
from tests.evidence.report import Report, options
from tests.evidence.status import wait_whole

SHARDS, REPLICAS = 3, 2
WRITERS, READERS = 4, 3
HOT_KEYS = 8
PADDING = 200
WHOLE_SECONDS = 90.0
CALL_SECONDS = 60.0
RETRY = aidb.Retry(budget=1000.0, per_second=100.0)
EVERYTHING = "everything"
VICTIMS = ("primary", "replica", "router", "coordinator", "supervisor", EVERYTHING)


class Restart:
    """A local cluster and its clients, for many rounds."""

    def __init__(self, cluster: LocalCluster, clients: list[Client], rng: random.Random) -> None:
        self._cluster = cluster
        self._clients = clients
        self._rng = rng
        self._round = 0
        self._sessions = 0
        self._writes: list[Operation] = []

    def round(self, victim: str, report: Report) -> None:
        """Kills ``victim`` under load, waits until all is whole again, and checks."""
        self._round += 1
        written: list[bytes] = []
        crew = Crew(list(self._workers(written)))
        with crew:
            nap_until(time.monotonic() + self._rng.uniform(0.3, 1.3))
            before = self._pids()
            killed = self._choose(victim, before)
            writing = crew.writing()
            killed_at = time.monotonic_ns()
            for name in killed:
                before[name].signal(signal.SIGKILL)
            problem = self._wait_back(killed, before)
            seconds = (time.monotonic_ns() - killed_at) / 1e9
        record = crew.record()
        spanning = sum(1 for call in record.operations if call.writes and call.start < killed_at < call.end)
        violations = [*([problem] if problem else []), *self._check(record, victim)]
        report.round(
            f"killed={victim}({len(killed)}) writing={writing} spanned_by={spanning} "
            f"acknowledged={record.counts['acknowledged']} whole_after={seconds:.1f}s "
            f"slowest_read={record.slowest_read:.2f}s",
            violations,
        )
        numbers = report.numbers
        numbers["kills"] += len(killed)
        numbers[f"kills_of_{victim}"] += 1
        numbers["writes_in_flight_at_kills"] += max(writing, spanning)
        for name in ("acknowledged", "unknown", "failed_writes", "session_reads"):
            numbers[name] += record.counts[name]
        numbers["failed_reads_primary_down" if _stops_reads(victim) else "failed_reads"] += record.counts[
            "failed_reads"
        ]
        key = f"slowest_read_ms_{'primary' if _stops_reads(victim) else 'other'}_killed"
        numbers[key] = max(numbers[key], round(record.slowest_read * 1000))

    def check_all(self) -> list[str]:
        """Every key of every round once more."""
        return [*map(str, durable.check(self._writes, self._read_all(self._writes)))]

    def _check(self, record: Record, victim: str) -> list[str]:
        history = record.operations
        writes = [call for call in history if call.writes]
        self._writes += writes
        found = [*versions.check(history), *session.check(history)]
        found += durable.check(writes, self._read_all(writes))
        violations = [*map(str, found), *record.surprises]
        if record.counts["failed_reads"] and not _stops_reads(victim):
            violations.append(f"{record.counts['failed_reads']} reads failed: {record.counts}")
        return violations

    def _read_all(self, writes: Iterable[Operation]) -> dict[bytes, durable.Found]:
        keys = sorted({write.key for write in writes})
        found: dict[bytes, durable.Found] = {}
        for first in range(0, len(keys), 1000):
            part = keys[first : first + 1000]
            entries = self._clients[0].get_entries(part, consistency="strong")
            found.update({e.key: (e.value, e.version) for e in entries if e is not None})
        return found

    def _pids(self) -> dict[str, Process]:
        """Every program by name, the supervisor too."""
        pids = {running.name: running.process for running in find(self._cluster.description.cluster_uid)}
        supervisor = Process.of(self._cluster.supervisor or 0)
        return {**pids, **({"supervisor": supervisor} if supervisor else {})}

    def _choose(self, victim: str, pids: dict[str, Process]) -> list[str]:
        names = sorted(pids)
        if victim == EVERYTHING:
            return names
        return [self._rng.choice([name for name in names if victim in name])]

    def _wait_back(self, killed: list[str], before: dict[str, Process]) -> str:
        """What is still missing after WHOLE_SECONDS, or nothing."""
        end = time.monotonic() + WHOLE_SECONDS
        while any(before[name].alive for name in killed) and time.monotonic() < end:
            time.sleep(0.01)
        if "supervisor" in killed:
            self._cluster.start(owned=False)
        while True:
            now = self._pids()
            away = [name for name in killed if name not in now or now[name] == before[name]]
            if not away:
                break
            if time.monotonic() > end:
                words = "; ".join(f"{name}: {self._cluster.last_words(name)}" for name in away)
                return f"not restarted after {WHOLE_SECONDS:.0f} s: {words}"
            time.sleep(0.05)
        present = {name: process.pid for name, process in now.items()}
        return wait_whole(self._cluster.address, REPLICAS, end - time.monotonic(), present)

    def _workers(self, written: list[bytes]) -> Iterator[tuple[Session, Work]]:
        hot = [b"round-%d-hot-%d" % (self._round, number) for number in range(HOT_KEYS)]
        for number in range(WRITERS + READERS):
            self._sessions += 1
            rng = random.Random(self._rng.random())
            worker = Session(self._sessions, [self._clients[number]], rng, lease=10.0)
            yield worker, _writing(hot, written) if number < WRITERS else _reading(written)


def _stops_reads(victim: str) -> bool:
    """With its primary gone a shard answers only what its replicas hold: reads of the rest wait for it."""
    return victim in ("primary", EVERYTHING)


def _writing(hot: list[bytes], written: list[bytes]) -> Work:
    def work(session: Session) -> None:
        kind = session.rng.random()
        if kind < 0.6:
            key = b"single-" + session.unique()
            session.put(key, PADDING)
            written.append(key)
        elif kind < 0.7:
            values = {b"batch-" + session.unique(): session.unique(PADDING) for _ in range(20)}
            session.put_many(values)
            written.extend(values)
        elif kind < 0.95:
            session.put(session.rng.choice(hot), PADDING)
        else:
            session.delete(session.rng.choice(hot))

    return work


def _reading(written: list[bytes]) -> Work:
    def work(session: Session) -> None:
        if written:
            session.get(session.rng.choice(written), Consistency.SESSION)
        time.sleep(0.002)

    return work


@contextmanager
def running(rng: random.Random) -> Iterator[Restart]:
    """A cluster with its clients; all gone at the end."""
    with ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="aidb-restart-"))
        cluster = LocalCluster.prepare(Path(root) / "data", Wish(SHARDS, REPLICAS, port=0))
        stack.callback(cluster.stop)
        cluster.start(owned=False)
        problem = wait_whole(cluster.address, REPLICAS, WHOLE_SECONDS)
        if problem:
            raise RuntimeError(f"the cluster does not start: {problem}")
        clients = [
            stack.enter_context(aidb.connect(cluster.address, timeout=CALL_SECONDS, retry=RETRY))
            for _ in range(WRITERS + READERS)
        ]
        yield Restart(cluster, clients, rng)


def run(rounds: int, seed: int, report: Report) -> None:
    """Every kind of victim in turn, in random order."""
    rng = random.Random(seed)
    with running(rng) as restart:
        victims: list[str] = []
        for _ in range(rounds):
            victims = victims or rng.sample(VICTIMS, len(VICTIMS))
            restart.round(victims.pop(), report)
        lost = restart.check_all()
        for violation in lost:
            print(f"  VIOLATION at the end: {violation}")
        report.violations += len(lost)


def main() -> int:
    """Exit code 0 only when nothing was violated and the kills hit writes in flight."""
    asked = options("restart")
    report = Report("restart", asked.seed)
    started = time.monotonic()
    run(asked.rounds, asked.seed, report)
    print(report.last_line(seconds=round(time.monotonic() - started)))
    return report.exit_code(asked.rounds, holds=report.numbers["writes_in_flight_at_kills"] > 0)


if __name__ == "__main__":
    sys.exit(main())
