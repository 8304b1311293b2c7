"""`make evidence-pitr ROUNDS=100`: a restore to any LSN, and to any time, is the state at that point.

A primary, a process of its own, is written to by several clients at once (puts, deletes, conditions, batches,
several keyspaces) while it archives and takes snapshots. It is stopped, killed, and once restored to an
earlier point and started again, so that the history has several epochs and a branch that was given up. Then
``--rounds`` LSNs, and a fifth as many times, are drawn: each is restored from the object store alone, and
every key and value compared with a model of what was acknowledged. Deletes whose answer a kill took away
make the LSNs around them uncertain: those are not drawn.

Then the same of a cluster whose slots move, see `pitr_moves`.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aidb_node.recovery.in_place import in_place
from aidb_node.recovery.recover import recover

from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.objects.file import FileStore
from aidb.physical import split
from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb
from tests.backup.support import open_store
from tests.coordinator.process import FAST, CoordinatorProcess
from tests.evidence import pitr_moves
from tests.evidence.pitr_book import Book, State
from tests.evidence.pitr_writers import Writer
from tests.evidence.replays import replayed_as_of_any_age
from tests.evidence.report import Report, options
from tests.node.process import NodeProcess

UID = "pitr"
WRITERS = 3
# How the lives of the primary end: the last one with everything archived.
LIVES = ("kill", "stop", "kill", "restore", "kill", "stop", "kill", "stop")
WRITES_PER_LIFE = 700
_WAIT_SECONDS = 60.0
_QUICK = ("--archive-every", "0.05", "--snapshot-every", "86400", "--memtable-bytes", "1m")


@dataclass(slots=True)
class History:
    """What happened. ``first``: the LSN of the oldest snapshot; ``snapshots`` those in the store."""

    book: Book
    objects: FileStore
    first: int = 0
    numbers: Counter[str] = field(default_factory=Counter)

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.objects, Names(UID, 0))


def live(root: Path, rng: random.Random, lives: tuple[str, ...], writes: int) -> History:
    """The primary's lives, one after the other."""
    book = Book()
    history = History(book, FileStore(root / "objects"))
    writers = [Writer(number, book, random.Random(rng.random())) for number in range(WRITERS)]
    data = root / "shard-0"
    arguments = ("--shards", "1", "--cluster-uid", UID, *FAST)
    coordinator = CoordinatorProcess(root / "coordinator", *arguments)
    try:
        for end in lives:
            objects = ("--objects", history.objects.url)
            node = NodeProcess(coordinator.address, data, *objects, *_QUICK).ready()
            try:
                _one_life(node, history, writers, rng, end, writes)
            finally:
                node.kill()
            history.numbers[f"ends_by_{end}"] += 1
            if end == "restore":
                _restore_to_earlier(history, writers, data, rng)
    finally:
        coordinator.kill()
    catalog = history.catalog
    manifests = list(catalog.manifests_from(catalog.newest_claim()))
    history.first = _first(history)
    history.numbers["snapshots"] = len(manifests)
    history.numbers["epochs"] = len(catalog.claimed())
    for writer in writers:
        history.numbers.update(writer.done)
    return history


def _first(history: History) -> int:
    """The LSN of the oldest snapshot."""
    catalog = history.catalog
    return min(manifest.lsn for manifest, _ in catalog.manifests_from(catalog.newest_claim()))


def _one_life(
    node: NodeProcess, history: History, writers: list[Writer], rng: random.Random, end: str, writes: int
) -> None:
    for writer in writers:
        writer.settle(node)
    _wait(node, lambda stats: stats.durability.snapshot != "", "there is no snapshot")
    stop = threading.Event()
    threads = [threading.Thread(target=writer.run, args=(node, stop)) for writer in writers]
    for thread in threads:
        thread.start()
    begin = len(history.book.writes)
    snapshots_at = sorted(rng.sample(range(writes), 2))
    while (written := len(history.book.writes) - begin) < writes and any(t.is_alive() for t in threads):
        if snapshots_at and written >= snapshots_at[0]:
            snapshots_at.pop(0)
            node.node.Backup(node_pb2.BackupRequest(), timeout=10)
        time.sleep(0.01)
    if end == "kill":
        history.numbers["in_flight_at_kills"] += sum(writer.in_flight for writer in writers)
        node.kill()
        history.numbers["kills"] += 1
    stop.set()
    for thread in threads:
        thread.join(_WAIT_SECONDS)
    if end != "kill":
        _wait(node, lambda now: now.durability.archived_lsn >= now.engine.synced_lsn, "it is not archived")
        assert node.stop() == 0


def _wait(node: NodeProcess, holds: Callable[[pb.GetStatsResponse], bool], problem: str) -> None:
    ends = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < ends:
        stats: pb.GetStatsResponse = node.storage.GetStats(pb.GetStatsRequest(), timeout=10)
        if holds(stats):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{problem} after {_WAIT_SECONDS} s: {stats.durability}")


def _restore_to_earlier(history: History, writers: list[Writer], data: Path, rng: random.Random) -> None:
    """The shard goes back some way: what was written since is in no later restore."""
    possible = history.book.certain(_first(history))
    lsn = rng.choice(possible[-WRITES_PER_LIFE // 4 : -WRITES_PER_LIFE // 8] or possible)
    report = in_place(history.catalog, data, Target(lsn=lsn))
    assert report.lsn == lsn, report
    before = len(history.book.writes)
    history.book.give_up_after(lsn)
    history.numbers["writes_given_up"] += before - len(history.book.writes)
    ((_, state),) = history.book.states([lsn])
    for writer in writers:
        own = b"w%d-" % writer.number
        writer.state = {
            key: value for key, value in state.items() if key[1].rpartition(b"}")[2].startswith(own)
        }
        writer.lost = None


def restored_state(directory: Path) -> State:
    store = open_store(directory / "store", create=False)
    try:
        with store.scan(b"", b"", None, False, False, None) as scan:
            found = {}
            for entry in scan:
                _, keyspace, key = split(entry.key)
                found[keyspace, key] = entry.value
            return found
    finally:
        store.close()


def check_lsns(history: History, root: Path, rng: random.Random, rounds: int, report: Report) -> None:
    possible = history.book.certain(history.first)
    drawn = rng.sample(possible, min(rounds, len(possible)))
    bases = set()
    for lsn, state in history.book.states(drawn):
        with _scratch(root) as directory, replayed_as_of_any_age(rng, report.numbers):
            done = recover(history.catalog, directory, Target(lsn=lsn))
            wrong = _differences(restored_state(directory), state)
        if done.lsn != lsn:
            wrong.append(f"it stopped at lsn {done.lsn}")
        bases.add(done.snapshot)
        report.numbers["records_replayed"] += done.records
        report.round(f"lsn={lsn} snapshot={done.snapshot} records={done.records}", wrong)
    report.numbers["snapshots_used"] = len(bases)


def check_times(history: History, root: Path, rng: random.Random, count: int, report: Report) -> None:
    """Everything that was answered by then, and nothing that was sent later."""
    first = min(write.answered_ms for write in history.book.writes if write.version > history.first)
    possible = sorted({write.answered_ms for write in history.book.writes if write.answered_ms > first})
    for clock_ms in sorted(rng.sample(possible, min(count, len(possible)))):
        surely, perhaps = history.book.between(clock_ms)
        with _scratch(root) as directory, replayed_as_of_any_age(rng, report.numbers):
            done = recover(history.catalog, directory, Target(clock_ms=clock_ms))
            found = restored_state(directory)
        last = history.book.last_at_or_before(done.lsn)
        wrong = [] if surely <= last <= perhaps else [f"it has lsn {last}, not {surely} to {perhaps}"]
        if any(low < last < high for low, high in history.book.vague):
            report.numbers["times_uncertain"] += 1
        else:
            ((_, state),) = history.book.states([last])
            wrong += _differences(found, state)
        report.numbers["times"] += 1
        report.violations += len(wrong)
        print(f"time {clock_ms} lsn={done.lsn} violations={len(wrong)}", flush=True)
        for one in wrong[:5]:
            print(f"  VIOLATION {one}", flush=True)


def _differences(found: State, expected: State) -> list[str]:
    wrong = [f"{key} is missing" for key in expected.keys() - found.keys()]
    wrong += [f"{key} should not be there" for key in found.keys() - expected.keys()]
    wrong += [
        f"{key} has another value" for key in expected.keys() & found.keys() if found[key] != expected[key]
    ]
    return wrong


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    directory = root / "restored"
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def did_damage(numbers: Counter[str]) -> bool:
    """Without kills under load, branches given up, and restores from several snapshots it proves little."""
    own = ("in_flight_at_kills", "writes_given_up", "deletes", "batches", "records_replayed", "times")
    needed = (*own, *pitr_moves.NEEDED)
    return all(numbers[name] > 0 for name in needed) and numbers["snapshots_used"] > 2


def run(rounds: int, seed: int, report: Report, writes: int = WRITES_PER_LIFE) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="aidb-pitr-") as directory:
        root = Path(directory)
        history = live(root, rng, LIVES, writes)
        check_lsns(history, root, rng, rounds, report)
        check_times(history, root, rng, max(1, rounds // 5), report)
        report.numbers.update(history.numbers)
    with tempfile.TemporaryDirectory(prefix="aidb-pitr-") as directory:
        pitr_moves.run(Path(directory), rng, max(2, rounds // 8), max(4, rounds // 2), report)
    with tempfile.TemporaryDirectory(prefix="aidb-pitr-") as directory:
        pitr_moves.reshape(Path(directory), report)


def main() -> int:
    asked = options("pitr")
    report = Report("pitr", asked.seed)
    run(asked.rounds, asked.seed, report)
    print(report.last_line())
    return report.exit_code(asked.rounds, did_damage(report.numbers))


if __name__ == "__main__":
    sys.exit(main())
