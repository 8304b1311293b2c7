"""Snapshots upload what the store lacks, publish the manifest last, and never count on what may be
collected.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from aidb_node.backup.rate import RateLimit
from aidb_node.backup.snapshots import SCRATCH, Stopped, Uploaded
from aidb_node.backup.sums import FILE, TableSums

from aidb.durability.catalog import Catalog
from aidb.durability.collecting import collect
from aidb.durability.fencing import Superseded, claim_epoch
from aidb.durability.hold import Purpose
from aidb.durability.holding import held
from aidb.durability.identity import Place
from aidb.durability.manifest import Manifest
from aidb.durability.retention_plan import Policy
from aidb.objects.errors import Unavailable
from aidb.objects.file import FileStore
from tests.backup.support import NAMES, History, Primary, archive_of, catch_up, snapshot, snapshots_of, synced
from tests.objects.faults import FaultyStore, Odds

OLD = Policy(keep=1, keep_days=0, minimum_age=60)


def fill(history: History, prefix: bytes, count: int, random_: random.Random) -> None:
    for number in range(count):
        history.put(prefix + b"%05d" % number, random_.randbytes(1000))


def age(objects: FileStore, seconds: float) -> None:
    """Everything in the store is so much older."""
    import os

    for stat in objects.page(""):
        then = stat.modified - seconds
        os.utime(objects._path(stat.key), (then, then))


def test_a_second_snapshot_uploads_only_what_is_new(
    objects: FileStore, primary: Primary, history: History, directory: Path
) -> None:
    draw = random.Random(1)
    archive = archive_of(objects, primary)
    archive.open()
    # One table each: nothing is compacted.
    fill(history, b"a", 800, draw)
    first, seen_first = snapshot(objects, primary, directory, archive)
    fill(history, b"b", 50, draw)
    second, seen_second = snapshot(objects, primary, directory, archive)
    assert seen_first.uploaded == seen_first.total == seen_first.done == first.size
    assert 0 < seen_second.uploaded < first.size / 10
    assert seen_second.done == seen_second.total == second.size
    assert {file.sha256 for file in first.files} & {file.sha256 for file in second.files}
    catalog = Catalog(objects, NAMES)
    assert [one.label for one, _ in catalog.manifests_from(1)] == ["e1-1", "e1-0"]
    assert catalog.manifest(1, 1) == second
    assert second.log == (1, 0)
    assert not (directory / SCRATCH).exists()
    assert catalog.holds() == []


def test_an_attempt_that_failed_is_continued(
    objects: FileStore, primary: Primary, history: History, directory: Path
) -> None:
    archive = archive_of(objects, primary)
    archive.open()
    for part in range(6):
        if part == 3:
            # As many more tables as nobody merges while attempts are made.
            primary.store.compact()
        fill(history, b"%d" % part, 100, random.Random(part))
        primary.store.flush()
    seed = 3
    faulty = FaultyStore(objects, Odds(error=0.25), seed)
    uploaded, attempts, made = 0, 0, None
    while made is None:
        attempts += 1
        seen = Uploaded()
        try:
            made = snapshots_of(faulty, primary, directory).take("", 1, lambda: archive.position, seen)
        except Unavailable:
            assert Catalog(objects, NAMES).manifests(1) == []
        uploaded += seen.uploaded
    assert attempts > 1, f"seed {seed}"
    # What an attempt uploaded is not uploaded again, but for what was lost with its answer.
    assert made.size <= uploaded < 2 * made.size
    assert len(objects.page(NAMES.tables)) == len({file.sha256 for file in made.files})


def test_what_was_there_and_vanished_is_uploaded_again(
    objects: FileStore, primary: Primary, history: History, directory: Path
) -> None:
    archive = archive_of(objects, primary)
    archive.open()
    fill(history, b"a", 100, random.Random(1))
    first, _ = snapshot(objects, primary, directory, archive)

    class Vanishing(FileStore):
        def create(self, key: str, body: bytes) -> None:
            super().create(key, body)
            if "/manifest/" in key:
                self.delete(NAMES.table(first.files[0].sha256))

    vanishing = Vanishing(Path(objects.url.removeprefix("file://")))
    second, seen = snapshot(vanishing, primary, directory, archive)
    assert seen.uploaded == first.files[0].size
    assert {stat.key for stat in objects.page(NAMES.tables)} == {NAMES.table(f.sha256) for f in second.files}


def test_no_snapshot_of_an_epoch_that_is_over(
    objects: FileStore, primary: Primary, history: History, directory: Path
) -> None:
    archive = archive_of(objects, primary)
    archive.open()
    history.put(b"a", b"1")
    claim_epoch(Catalog(objects, NAMES), 2, "disk-b", "b")
    with pytest.raises(Superseded):
        snapshot(objects, primary, directory, archive)
    assert Catalog(objects, NAMES).manifests(1) == []


def test_a_snapshot_waits_for_a_retention_and_retention_spares_the_tables_of_a_snapshot(
    objects: FileStore, primary: Primary, history: History, directory: Path
) -> None:
    catalog = Catalog(objects, NAMES)
    archive = archive_of(objects, primary)
    archive.open()
    history.put(b"a", b"1")
    snapshot(objects, primary, directory, archive)
    orphan = NAMES.table("0" * 64)
    objects.create(orphan, b"x")
    age(objects, 3600)
    place = Place("uid", 0, 1)
    with held(catalog, Purpose.SNAPSHOT, place):
        assert collect(catalog, OLD, dry_run=False).plan.tables == ()
    assert [stat.key for stat in collect(catalog, OLD, dry_run=True).plan.tables] == [orphan]
    with held(catalog, Purpose.RETENTION, place):
        with pytest.raises(Unavailable, match="under way already"):
            collect(catalog, OLD, dry_run=False)
        waiting = snapshots_of(objects, primary, directory)
        waiting.stop.set()
        with pytest.raises(Stopped):
            waiting.take("", 1, lambda: None, Uploaded())
    assert collect(catalog, OLD, dry_run=False).deleted == 1
    assert orphan not in {stat.key for stat in objects.page("")}


def test_retention_keeps_what_a_restore_uses_and_every_kept_snapshot_restorable(
    objects: FileStore, primary: Primary, history: History, directory: Path
) -> None:
    catalog = Catalog(objects, NAMES)
    archive = archive_of(objects, primary)
    made: list[Manifest] = []
    for part in range(4):
        fill(history, b"%d" % part, 50, random.Random(part))
        synced(primary)
        catch_up(archive)
        made.append(snapshot(objects, primary, directory, archive)[0])
    primary.store.compact()
    made.append(snapshot(objects, primary, directory, archive)[0])
    age(objects, 7200)
    with held(catalog, Purpose.RESTORE, made[1].place):
        dry = collect(catalog, OLD, dry_run=True)
        assert [one.label for one in dry.plan.kept] == ["e1-4", "e1-1"]
        done = collect(catalog, OLD, dry_run=False)
    assert dry.deleted == 0
    assert done.deleted == len(dry.plan.deletions) > 0
    there = {stat.key for stat in objects.page("")}
    for one in (made[1], made[4]):
        assert {NAMES.table(file.sha256) for file in one.files} <= there
    assert collect(catalog, OLD, dry_run=True).plan.manifests != ()


def test_the_rate_is_kept_over_all_threads_and_a_stop_ends_the_wait() -> None:
    limit, stop = RateLimit(1 << 20), threading.Event()
    begin = time.monotonic()
    assert all(limit.wait(1 << 18, stop) for _ in range(3))
    assert limit._free_at - begin >= 0.75
    limit.wait(1 << 30, stop)
    stop.set()
    assert not limit.wait(1, stop)
    assert RateLimit(0).wait(1 << 40, threading.Event())


def test_sums_are_remembered_for_the_file_they_are_of(tmp_path: Path) -> None:
    path = tmp_path / "1.sst"
    path.write_bytes(b"one")
    sums = TableSums(tmp_path)
    one = sums.of(path)
    sums.save({path.name})
    path.unlink()
    path.write_bytes(b"two")
    assert TableSums(tmp_path).of(path) != one
    (tmp_path / FILE).write_bytes(b"rubbish")
    assert len(TableSums(tmp_path).of(path)) == 64
