"""`make bench-restore`: how fast a shard comes back, against a plain parallel copy of the same objects,
and how fast its log is replayed, against inserting as many records in batches, one after the other. Both of
these end when all of it is in SSTs.

The four take turns; the line of figures at the end has the medians. Ratios are of this machine and this run.
The first rounds replay a log of a moment ago: its request ids may still be asked for, so that a replay logs
it, too. When it has become older than that, the rounds are repeated.
--s3: the store is a real S3 server (versitygw, `make evidence-objects` installs it), else a directory.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aidb_node import _native
from aidb_node.recovery.recover import recover

from aidb.durability.catalog import Catalog
from aidb.durability.manifest import Manifest
from aidb.durability.restore_plan import Target
from aidb.objects.file import FileStore
from aidb.objects.location import Bucket
from aidb.objects.s3 import S3Store
from aidb.objects.store import ObjectStore
from tests.backup.support import NAMES, Primary, archive_of, catch_up, open_store, snapshot
from tests.objects import versitygw
from tests.objects.servers import BUCKET

BATCH = 500
AT_ONCE = 8
CHUNK = 8 << 20
MEMTABLE = 64 << 20
# A log of this age is not logged again by a replay (node/src/python/log.rs).
LOGGED_SECONDS = 70


@contextmanager
def stores(root: Path, real: bool) -> Iterator[ObjectStore]:
    if not real:
        yield FileStore(root / "objects")
        return
    os.environ |= {"AWS_ACCESS_KEY_ID": versitygw.ACCESS, "AWS_SECRET_ACCESS_KEY": versitygw.SECRET}
    with versitygw.running(versitygw.install(), root / "s3") as server:
        yield S3Store(Bucket(BUCKET, "bench", server.endpoint, versitygw.REGION, "path"))


def batches(keys: int, value_bytes: int, seed: int) -> Iterator[list[tuple[bytes, bytes]]]:
    draw = random.Random(seed)
    pool = draw.randbytes(value_bytes * 64)
    for begin in range(0, keys, BATCH):
        batch = []
        for number in range(begin, min(begin + BATCH, keys)):
            at = draw.randrange(len(pool) - value_bytes)
            batch.append((b"%d-%012d" % (seed, number), pool[at : at + value_bytes]))
        yield batch


def fill(store: _native.Store, keys: int, value_bytes: int, seed: int) -> None:
    for batch in batches(keys, value_bytes, seed):
        store.put_all(batch, 0)


def insertion(path: Path, options: argparse.Namespace) -> float:
    """Seconds that the records of the log take when they are inserted into an empty store. They are made
    before: a pause between two batches would be a gift to the flusher.
    """
    made = list(batches(options.keys // 2, options.value_bytes, options.seed + 1))
    begin = time.perf_counter()
    store = open_store(path, MEMTABLE)
    for batch in made:
        store.put_all(batch, 0)
    store.flush()
    store.close()
    return time.perf_counter() - begin


def plain_copy(store: ObjectStore, manifest: Manifest, directory: Path) -> float:
    """Seconds that reading the objects into files takes, as many at a time, synced."""
    directory.mkdir(parents=True)

    def copy(sha256: str) -> None:
        at = 0
        with (directory / sha256).open("wb") as file:
            while chunk := store.get(NAMES.table(sha256), at, CHUNK):
                file.write(chunk)
                at += len(chunk)
                if len(chunk) < CHUNK:
                    break
            file.flush()
            os.fsync(file.fileno())

    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, {file.sha256 for file in manifest.files}))
    return time.perf_counter() - begin


@dataclass(slots=True)
class Medians:
    """Of some rounds, in seconds."""

    copy: float
    tables: float
    insert: float
    replay: float


def rounds(objects: ObjectStore, taken: Manifest, directory: Path, options: argparse.Namespace) -> Medians:
    measured: list[tuple[float, ...]] = []
    for number in range(options.rounds):
        inserted = insertion(directory / f"inserted-{number}", options)
        copied = plain_copy(objects, taken, directory / f"copy-{number}")
        report = recover(
            Catalog(objects, NAMES),
            directory / f"new-{number}",
            Target(),
            label=taken.label,
            at_once=AT_ONCE,
        )
        measured.append((copied, report.table_seconds, inserted, report.replay_seconds))
    return Medians(*(sorted(times)[options.rounds // 2] for times in zip(*measured, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=500_000)
    parser.add_argument("--value-bytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="target") as name:
        root = Path(name).absolute()
        (root / "data").mkdir()
        with stores(root, options.s3) as objects:
            store = open_store(root / "data" / "store", MEMTABLE)
            primary = Primary(store)
            archive = archive_of(objects, primary)
            archive.open()
            fill(store, options.keys, options.value_bytes, options.seed)
            store.compact()
            # As it is a second after a write: else what the snapshot has would be read again from the log.
            catch_up(archive)
            taken, seen = snapshot(objects, primary, root / "data", archive)
            fill(store, options.keys // 2, options.value_bytes, options.seed + 1)
            store.flush()
            catch_up(archive)
            written = time.monotonic()
            again = snapshot(objects, primary, root / "data", archive)[1]
            store.close()
            fresh = rounds(objects, taken, root / "fresh", options)
            if (age := time.monotonic() - written) > LOGGED_SECONDS:
                print(f"the rounds began after {age:.0f} s: some replayed an old log", file=sys.stderr)
            time.sleep(max(0.0, LOGGED_SECONDS + 1 - (time.monotonic() - written)))
            found = rounds(objects, taken, root / "old", options)
    mib, records = 1 << 20, options.keys // 2
    print(
        f"restore build={_native.BUILD_PROFILE} store={'versitygw' if options.s3 else 'directory'} "
        f"snapshot_mib={taken.size / mib:.0f} uploaded_mib={seen.uploaded / mib:.0f} "
        f"second_snapshot_mib={again.uploaded / mib:.0f} "
        f"copy_mib_s={taken.size / mib / found.copy:.0f} restore_mib_s={taken.size / mib / found.tables:.0f} "
        f"restore_of_copy={found.copy / found.tables:.2f} "
        f"fresh_restore_of_copy={fresh.copy / fresh.tables:.2f} "
        f"records={records} insert_per_s={records / found.insert:.0f} "
        f"replay_per_s={records / found.replay:.0f} replay_of_insert={found.insert / found.replay:.2f} "
        f"fresh_replay_per_s={records / fresh.replay:.0f} "
        f"fresh_replay_of_insert={fresh.insert / fresh.replay:.2f} "
        f"gib_in_5_minutes={300 * taken.size / found.tables / (1 << 30):.0f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
