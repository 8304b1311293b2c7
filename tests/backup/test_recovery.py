"""A restore gives back exactly the state at the point asked for, or says exactly what is lost and leaves
all as it was.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aidb_node import identity
from aidb_node.failure import LogGap
from aidb_node.recovery import replay
from aidb_node.recovery.in_place import in_place
from aidb_node.recovery.recover import Report, recover

from aidb.durability.catalog import Catalog
from aidb.durability.loss import Lossy
from aidb.durability.manifest import Manifest
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.durability.verification import verify
from aidb.objects.errors import Damaged, NoSuchKey, ObjectError, Unusable
from aidb.objects.file import FileStore
from tests.backup.support import (
    DISK,
    NAMES,
    History,
    Primary,
    State,
    archive_of,
    catch_up,
    contents,
    open_store,
    snapshot,
    synced,
)


def restored(objects: FileStore, directory: Path, target: Target | None = None, **options: object) -> Report:
    return recover(Catalog(objects, NAMES), directory, target or Target(), **options)  # type: ignore[arg-type]


def state_in(directory: Path) -> State:
    store = open_store(directory / "store")
    try:
        return contents(store)
    finally:
        store.close()


@dataclass
class Lived:
    """A history with snapshots in between, all of it archived. ``before``, ``after``: the shard's clock
    around each LSN.
    """

    objects: FileStore
    history: History
    snapshots: list[Manifest]
    before: dict[int, int]
    after: dict[int, int]

    @property
    def last(self) -> int:
        return max(self.history.states)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    root = tmp_path_factory.mktemp("lived")
    objects = FileStore(root / "objects")
    directory = root / "data"
    directory.mkdir()
    primary = Primary(open_store(directory / "store"))
    history = History(primary.store)
    draw = random.Random(5)
    made: list[Manifest] = []
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    for epoch in (1, 2, 3):
        archive = archive_of(objects, primary, epoch)
        archive.open()
        for round in range(8):
            for _ in range(25):
                key = b"k%03d" % draw.randrange(200)
                clock = primary.store.position()[2]
                lsn = history.delete(key) if draw.random() < 0.2 else history.put(key, draw.randbytes(100))
                before[lsn], after[lsn] = clock, primary.store.position()[2]
            synced(primary)
            # The last round of an epoch waits for the next one, as after a crash.
            if round < 7:
                catch_up(archive)
            if round in (3, 5):
                made.append(snapshot(objects, primary, directory, archive, epoch)[0])
    catch_up(archive)
    primary.store.close()
    return Lived(objects, history, made, before, after)


@pytest.fixture
def lived(once: Lived, tmp_path: Path) -> Lived:
    """With objects of its own, to be damaged."""
    shutil.copytree(once.objects._root, tmp_path / "objects")
    return replace(once, objects=FileStore(tmp_path / "objects"))


Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES: list[Damage] = [flip, cut, Path.unlink]


def damage(lived: Lived, key: str, how: Damage) -> None:
    how(lived.objects._path(key))


def test_the_newest_state_comes_back(lived: Lived, tmp_path: Path) -> None:
    report = restored(lived.objects, tmp_path / "new")
    assert (report.lsn, report.loss, report.snapshot) == (lived.last, None, "e3-1")
    assert state_in(tmp_path / "new") == lived.history.now
    assert report.downloaded_bytes == report.table_bytes == lived.snapshots[-1].size
    assert Catalog(lived.objects, NAMES).holds() == []


def test_any_lsn_comes_back(lived: Lived, tmp_path: Path) -> None:
    seed = 9
    draw = random.Random(seed)
    possible = [lsn for lsn in lived.history.states if lsn >= lived.snapshots[0].lsn]
    for number, lsn in enumerate(draw.sample(possible, 15)):
        report = restored(lived.objects, tmp_path / str(number), Target(lsn=lsn))
        assert report.lsn == lsn
        assert state_in(tmp_path / str(number)) == lived.history.states[lsn], f"lsn {lsn}, seed {seed}"


def test_any_time_comes_back(lived: Lived, tmp_path: Path) -> None:
    """Everything with a clock up to the one asked for, and nothing later."""
    seed = 4
    draw = random.Random(seed)
    begin = lived.after[min(lsn for lsn in lived.after if lsn > lived.snapshots[0].lsn)]
    possible = sorted({clock for clock in lived.after.values() if clock > begin})
    for number, clock in enumerate(draw.sample(possible, min(6, len(possible)))):
        report = restored(lived.objects, tmp_path / str(number), Target(clock_ms=clock))
        surely = max(lsn for lsn, at in lived.after.items() if at <= clock)
        perhaps = max(lsn for lsn, at in lived.before.items() if at <= clock)
        assert surely <= report.lsn <= perhaps, f"clock {clock}, seed {seed}"
        assert state_in(tmp_path / str(number)) == lived.history.states[report.lsn]


@pytest.mark.parametrize("logged_ms", [-(1 << 40), 1 << 40])
def test_any_lsn_comes_back_whether_the_replay_is_logged_or_not(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged_ms: int
) -> None:
    monkeypatch.setattr(replay, "LOGGED_MS", logged_ms)
    for lsn in random.Random(4).sample(sorted(lived.history.states), 12):
        if lsn >= lived.snapshots[0].lsn:
            report = restored(lived.objects, tmp_path / str(lsn), Target(lsn=lsn), epoch=9)
            assert state_in(tmp_path / str(lsn)) == lived.history.states[lsn]
            store = open_store(tmp_path / str(lsn) / "store", create=False, keep_log=True)
            try:
                # The record of the new epoch is logged in any case.
                assert store.position()[0] == 9
                assert (store.log_after(lsn, 1) or [0] * 6)[5] == 1
                if report.records:
                    with nullcontext() if logged_ms > 0 else pytest.raises(LogGap):
                        assert store.log_after(report.snapshot_lsn, 1)
            finally:
                store.close()


def test_from_a_named_snapshot(lived: Lived, tmp_path: Path) -> None:
    report = restored(lived.objects, tmp_path / "new", label="e1-0")
    assert (report.snapshot, report.lsn) == ("e1-0", lived.last)
    assert state_in(tmp_path / "new") == lived.history.now
    with pytest.raises(Unusable, match="it is after lsn"):
        restored(lived.objects, tmp_path / "x", Target(lsn=lived.snapshots[0].lsn), label="e3-0")
    with pytest.raises(Unusable, match="names no snapshot"):
        restored(lived.objects, tmp_path / "x", label="yesterday")


def test_before_the_first_snapshot_the_log_is_enough(lived: Lived, tmp_path: Path) -> None:
    report = restored(lived.objects, tmp_path / "new", Target(lsn=3))
    assert (report.snapshot, report.lsn, report.loss) == ("", 3, None)
    assert state_in(tmp_path / "new") == lived.history.states[3]
    damage(lived, NAMES.log(1, 0), Path.unlink)
    with pytest.raises(NoSuchKey, match="nothing after lsn 3"):
        restored(lived.objects, tmp_path / "newer", Target(lsn=3))


@pytest.mark.parametrize("archived", [False, True])
def test_a_shard_that_was_lost_before_its_first_snapshot(
    objects: FileStore, history: History, primary: Primary, tmp_path: Path, archived: bool
) -> None:
    """What the archive has of it comes back, be it nothing."""
    archive = archive_of(objects, primary)
    archive.open()
    for number in range(10):
        history.put(b"k%d" % number, b"v")
    if archived:
        synced(primary)
        catch_up(archive)
    report = in_place(Catalog(objects, NAMES), tmp_path / "new", Target())
    assert (report.snapshot, report.loss) == ("", None)
    assert state_in(tmp_path / "new") == (history.now if archived else {})


def test_an_lsn_that_the_archive_does_not_reach_is_said(lived: Lived, tmp_path: Path) -> None:
    with pytest.raises(Lossy, match=f"after lsn {lived.last} through lsn {lived.last + 5} are lost"):
        restored(lived.objects, tmp_path / "new", Target(lsn=lived.last + 5))
    assert not (tmp_path / "new" / "store").exists()


def test_tables_on_the_disk_are_kept_and_the_old_store_is_kept_aside(lived: Lived, tmp_path: Path) -> None:
    restored(lived.objects, tmp_path / "new")
    damaged = max((tmp_path / "new/store/sst").iterdir(), key=lambda path: path.stat().st_size)
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    report = restored(lived.objects, tmp_path / "new", label="e3-1")
    assert state_in(tmp_path / "new") == lived.history.now
    assert 0 < report.downloaded_bytes < report.table_bytes
    assert Path(report.kept_aside).is_dir()


def test_after_a_restore_to_an_earlier_point_history_goes_on_from_there(lived: Lived, tmp_path: Path) -> None:
    """What was given up is in no later restore; restores to before the fork are what they were."""
    lsn = max(one for one in lived.history.states if one < lived.snapshots[4].lsn)
    place = tmp_path / "again"
    report = in_place(Catalog(lived.objects, NAMES), place, Target(lsn=lsn))
    assert (report.lsn, report.epoch) == (lsn, 3)
    assert identity.parse((place / "identity.json").read_bytes(), place).disk_id == DISK
    store = open_store(place / "store")
    store.begin_epoch(4)
    primary, history = Primary(store), History(store)
    history.now = dict(lived.history.states[lsn])
    archive = archive_of(lived.objects, primary, 4)
    catch_up(archive)
    history.put(b"new", b"life")
    synced(primary)
    catch_up(archive)
    store.close()
    assert archive.progress.gaps == 0
    assert restored(lived.objects, tmp_path / "newest").snapshot in ("e3-0", "e2-1")
    assert state_in(tmp_path / "newest") == history.now
    for number, old in enumerate((lsn, lived.snapshots[1].lsn)):
        restored(lived.objects, tmp_path / f"old-{number}", Target(lsn=old))
        assert state_in(tmp_path / f"old-{number}") == lived.history.states[old]
    verified = verify(Catalog(lived.objects, NAMES))
    assert verified.problems == []
    assert verified.chain_to == archive.progress.archived_lsn


def test_a_disk_of_another_shard_or_another_life_is_left_alone(lived: Lived, tmp_path: Path) -> None:
    for disk in (identity.Identity("disk-x", 0, "uid"), identity.Identity(DISK, 7, "uid")):
        place = tmp_path / disk.disk_id / str(disk.shard)
        place.mkdir(parents=True)
        identity.restore(place, disk)
        with pytest.raises(Unusable):
            in_place(Catalog(lived.objects, NAMES), place, Target())
        assert [path.name for path in place.iterdir()] == ["identity.json"]


# --- verification ---


def test_all_is_well_and_is_said_so(lived: Lived) -> None:
    found = verify(Catalog(lived.objects, NAMES))
    assert found.problems == []
    assert found.snapshots == len(lived.snapshots)
    assert (found.chain_from, found.chain_to) == (lived.snapshots[0].lsn, lived.last)
    assert found.tables == len(lived.objects.page(NAMES.tables))


@pytest.mark.parametrize("how", DAMAGES)
def test_every_damaged_object_is_found(lived: Lived, how: Damage) -> None:
    keys = [NAMES.table(lived.snapshots[2].files[0].sha256), NAMES.log(2, 6), NAMES.log(3, 5)]
    for key in keys:
        damage(lived, key, how)
    found = verify(Catalog(lived.objects, NAMES))
    assert {problem.object for problem in found.problems} == set(keys)
    assert found.chain_to == Catalog(lived.objects, NAMES).piece(2, 5).last_lsn  # type: ignore[union-attr]


# --- restores of what is damaged ---


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_table_is_named_and_nothing_is_half_restored(
    lived: Lived, tmp_path: Path, how: Damage
) -> None:
    key = NAMES.table(lived.snapshots[-1].files[0].sha256)
    damage(lived, key, how)
    (tmp_path / "new").mkdir()
    with pytest.raises(Damaged, match=key):
        restored(lived.objects, tmp_path / "new", label="e3-1")
    assert not (tmp_path / "new" / "store").exists()


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_piece_ends_the_replay_and_the_loss_is_exact(
    lived: Lived, tmp_path: Path, how: Damage
) -> None:
    piece = Catalog(lived.objects, NAMES).piece(2, 6)
    damage(lived, NAMES.log(2, 6), how)
    with pytest.raises(Lossy) as lossy:
        restored(lived.objects, tmp_path / "new", label="e2-0")
    loss = lossy.value.loss
    assert (loss.after_lsn, loss.through_lsn) == (piece.previous_lsn, lived.last)  # type: ignore[union-attr]
    assert "e2/log/6" in loss.reason or NAMES.log(2, 6) in loss.reason
    assert not (tmp_path / "new" / "store").exists()
    report = restored(lived.objects, tmp_path / "new", label="e2-0", accept_loss=True)
    assert report.loss is not None
    assert report.lsn == loss.after_lsn
    assert state_in(tmp_path / "new") == lived.history.states[report.lsn]
    # A later snapshot does not need it.
    assert restored(lived.objects, tmp_path / "other").lsn == lived.last


@pytest.mark.parametrize("how", [flip, cut])
def test_a_damaged_manifest_is_named(lived: Lived, tmp_path: Path, how: Damage) -> None:
    key = NAMES.manifest(3, 1)
    damage(lived, key, how)
    with pytest.raises(Damaged, match=key):
        restored(lived.objects, tmp_path / "new")
    assert restored(lived.objects, tmp_path / "new", label="e3-0").lsn == lived.last


def test_a_manifest_of_another_shard_or_with_another_engines_files_is_refused(
    lived: Lived, tmp_path: Path
) -> None:
    foreign = lived.objects.get(NAMES.manifest(3, 1))
    lived.objects.create(Names("uid", 7).manifest(3, 1), foreign)
    with pytest.raises(Damaged, match="belongs to uid/0 epoch 3"):
        Catalog(lived.objects, Names("uid", 7)).manifest(3, 1)
    with pytest.raises(ObjectError):
        recover(Catalog(lived.objects, Names("uid", 7)), tmp_path / "new", Target())
    assert not (tmp_path / "new" / "store").exists()


def test_nothing_of_a_cluster_that_was_never_there(lived: Lived, tmp_path: Path) -> None:
    with pytest.raises(NoSuchKey):
        recover(Catalog(lived.objects, Names("other", 0)), tmp_path / "new", Target())


def test_a_download_that_failed_goes_on_with_what_it_has(lived: Lived, tmp_path: Path) -> None:
    class Broken(FileStore):
        left = 2

        def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
            if "/sst/" in key:
                self.left -= 1
                if self.left < 0:
                    raise ObjectError("the network is gone")
            return super().get(key, start, length)

    root = Path(lived.objects.url.removeprefix("file://"))
    with pytest.raises(ObjectError, match="network"):
        restored(Broken(root), tmp_path / "new", at_once=1)
    report = restored(lived.objects, tmp_path / "new")
    assert 0 < report.downloaded_bytes < report.table_bytes
    assert state_in(tmp_path / "new") == lived.history.now
