"""``python load.pyz --address HOST:PORT --out DIR``: sessions on keys of all slots until DIR/stop is there.

Each session is a thread with a client of its own: half of them write, the others read. Calls retry for
CALL_SECONDS, so that a fault shows as a pause and not as an error. DIR/progress.json says every half second
how many calls of each session were answered; in the end DIR/history.gz and, last, DIR/done are there.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import aidb
from aidb.client import Client
from aidb.slots import SLOT_COUNT, slot_of
from e2e.load import history_file
from tests.checkers.history import Consistency
from tests.evidence.recorder import Record, Session

CALL_SECONDS = 120.0
_BOUND = 1.0
_PROGRESS = 0.5


def spread_keys(count: int, name: str) -> list[bytes]:
    """Keys in slots that are evenly apart, so that every shard has some, whatever the number of shards."""
    wanted = {SLOT_COUNT // count * number: b"" for number in range(count)}
    missing = set(wanted)
    number = 0
    while missing:
        tag = f"{name}{number}"
        slot = slot_of(tag.encode())
        nearest = slot - slot % (SLOT_COUNT // count)
        if nearest in missing:
            missing.discard(nearest)
            wanted[nearest] = f"{{{tag}}}".encode()
        number += 1
    return list(wanted.values())


class Worker(threading.Thread):
    """One session. ``answered``: calls so far that succeeded."""

    def __init__(self, number: int, client: Client, keys: list[bytes], options: argparse.Namespace) -> None:
        super().__init__(name=f"session-{number}")
        rng = random.Random(options.seed * 1000 + number)
        self._session = Session(options.first + number, [client], rng, options.lease)
        self._keys = keys
        self._every = float(options.every)
        self._writes = number % 2 == 0
        self._ends = threading.Event()
        self.died = ""

    @property
    def answered(self) -> int:
        counts = self._session.record.counts
        return counts["acknowledged"] + sum(counts[name] for name in counts if name.endswith("_reads"))

    @property
    def record(self) -> Record:
        return self._session.record

    def end(self) -> None:
        self._ends.set()

    def run(self) -> None:
        try:
            while not self._ends.wait(self._every):
                self._once()
        except BaseException as error:
            self.died = f"{self.name}: {type(error).__name__}: {error}"

    def _once(self) -> None:
        session, key = self._session, self._session.rng.choice(self._keys)
        chance = session.rng.random()
        if not self._writes:
            choices = (Consistency.STRONG, Consistency.SESSION, Consistency.SESSION, Consistency.BOUNDED)
            session.get(key, session.rng.choice(choices), _BOUND)
        elif chance < 0.7:
            session.put(key)
        elif chance < 0.8:
            session.delete(key)
        else:
            session.swap(key)


def connected(address: str, seconds: float) -> Client:
    """A client, as soon as the cluster answers. Raises ClusterUnreachable after ``seconds``."""
    ends = time.monotonic() + seconds
    while True:
        try:
            return aidb.connect(address, timeout=CALL_SECONDS)
        except aidb.ClusterUnreachable:
            if time.monotonic() > ends:
                raise
            time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--first", type=int, default=1, help="number of the first session")
    parser.add_argument("--keys", type=int, default=32)
    parser.add_argument("--name", default="k", help="of the keys")
    parser.add_argument("--every", type=float, default=0.05, help="seconds between calls of a session")
    parser.add_argument("--lease", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keys = spread_keys(options.keys, options.name)
    clients = [connected(options.address, CALL_SECONDS) for _ in range(options.sessions)]
    workers = [Worker(number, client, keys, options) for number, client in enumerate(clients)]
    for worker in workers:
        worker.start()
    try:
        _watch(workers, options.out, (options.out / "stop").exists)
    finally:
        for worker in workers:
            worker.end()
    for worker in workers:
        worker.join()
    total = Record()
    for worker in workers:
        total.merge(worker.record)
    history_file.write(options.out / "history.gz", total.operations)
    told = {
        "counts": total.counts,
        "failures": total.failures,
        "surprises": total.surprises + [worker.died for worker in workers if worker.died],
    }
    (options.out / "done.new").write_text(json.dumps(told))
    (options.out / "done.new").rename(options.out / "done")
    # The history is fetched from here.
    threading.Event().wait()


def _watch(workers: list[Worker], out: Path, stopped: Callable[[], bool]) -> None:
    while not stopped():
        told = {worker.name: worker.answered for worker in workers}
        (out / "progress.new").write_text(json.dumps(told))
        (out / "progress.new").rename(out / "progress.json")
        time.sleep(_PROGRESS)


if __name__ == "__main__":
    main()
