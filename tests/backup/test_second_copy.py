"""Snapshots that are asked for while the archive of a new epoch is being opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aidb_node.backup import second_copy
from aidb_node.backup.second_copy import SecondCopy
from aidb_node.backup.settings import BackupSettings
from aidb_node.logs import Log

from aidb.durability.catalog import Catalog
from aidb.objects.errors import Denied, ObjectError, Unavailable
from aidb.objects.file import FileStore
from aidb.v1 import storage_pb2 as pb
from tests.backup.support import NAMES, History, Primary
from tests.coordinator.process import until


class Hosted(Primary):
    """With what the native server does for the second copy."""

    said = pb.DurabilityStats()

    def report_durability(self, encoded: bytes) -> None:
        self.said = pb.DurabilityStats.FromString(encoded)

    def await_demand(self, timeout: float) -> bool:
        return threading.Event().wait(0.01)

    def want_archived(self, lsn: int) -> None: ...
    def end_wait(self) -> None: ...


def ended(hosted: Hosted, after: int = 0) -> pb.DurabilityStats:
    """What is said when another snapshot has ended."""
    until(lambda: hosted.said.snapshots_ended > after)
    return hosted.said


class Ailing(FileStore):
    """Fails with ``problem`` as long as there is one."""

    def __init__(self, root: Path, problem: ObjectError | None) -> None:
        super().__init__(root)
        self.problem = problem

    def _path(self, key: str) -> Path:
        if self.problem is not None:
            raise self.problem
        return super()._path(key)


@pytest.fixture
def hosted(primary: Primary) -> Hosted:
    History(primary.store).put(b"k", b"v")
    return Hosted(primary.store)


@pytest.fixture
def begun(
    hosted: Hosted, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[FileStore], SecondCopy]]:
    """Begins one in epoch 1. The probe makes one attempt, so that the archive itself tries again."""
    monkeypatch.setattr(second_copy, "probed", lambda store, prefix, stop: store.head("probe") and store)
    made: list[SecondCopy] = []

    def begin(store: FileStore) -> SecondCopy:
        FileStore.create(FileStore(Path(store.url.removeprefix("file://"))), "probe", b"")
        monkeypatch.setattr(second_copy, "connect", lambda url: store)
        copy = SecondCopy(
            BackupSettings("unused", snapshot_every=1000.0, verify_every=0, drill_every=0),
            hosted,
            directory,
            shard=NAMES.shard,
            disk_id="disk",
            owner="p",
            log=Log(),
            superseded=lambda why: None,
        )
        made.append(copy)
        copy.begin(NAMES.cluster_uid, 1, 10_000)
        return copy

    yield begin
    for copy in made:
        copy.close()


def test_a_store_that_comes_back_in_time_fails_no_snapshot(
    hosted: Hosted, begun: Callable[[FileStore], SecondCopy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after a start, or a takeover: the archive is not open, and its first attempts fail."""
    monkeypatch.setattr(second_copy, "_ARCHIVE_SECONDS", 60.0)
    store = Ailing(tmp_path / "objects", Unavailable("500 InternalError"))
    copy = begun(store)
    until(lambda: "500" in hosted.said.archive_error)
    copy.backup("asked early")
    store.problem = None
    found = ended(hosted)
    assert (found.snapshots_ended, found.snapshot_error) == (1, "")
    (manifest,) = [one for one, _ in Catalog(store, NAMES).manifests_from(1)]
    assert manifest.name == "asked early", "the first one of the schedule is the one that was asked for"


def test_whoever_asks_is_told_at_once_what_no_waiting_mends(
    hosted: Hosted, begun: Callable[[FileStore], SecondCopy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_copy, "_ARCHIVE_SECONDS", 3600.0)
    copy = begun(Ailing(tmp_path / "objects", Denied("check the credentials")))
    copy.backup("")
    found = ended(hosted)
    assert found.snapshot_error == found.archive_error == "check the credentials"


def test_what_failed_in_an_epoch_before_is_no_reason_in_the_next(
    hosted: Hosted, begun: Callable[[FileStore], SecondCopy], tmp_path: Path
) -> None:
    store = Ailing(tmp_path / "objects", Denied("check the credentials"))
    copy = begun(store)
    until(lambda: hosted.said.snapshot_error)
    before = hosted.said.snapshots_ended
    store.problem = None
    copy.begin(NAMES.cluster_uid, 2, 10_000)
    found = ended(hosted, before)
    assert (found.snapshot_error, found.archive_error) == ("", "")
