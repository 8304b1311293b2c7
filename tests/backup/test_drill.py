"""A drill finds what a restore would not give back, and nothing else; checks are made when they are due."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aidb_node.backup.archive import Archive
from aidb_node.backup.checks import FILE, Check, Checks, Kind
from aidb_node.logs import Log
from aidb_node.recovery.comparing import compare
from aidb_node.recovery.drill import Drilled, drill

from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.objects.errors import Damaged
from aidb.objects.file import FileStore
from tests.backup.support import NAMES, History, Primary, archive_of, catch_up, open_store, snapshot, synced
from tests.coordinator.process import until


@pytest.fixture
def archive(objects: FileStore, primary: Primary, history: History, directory: Path) -> Archive:
    """Of a store with a snapshot, and log after it."""
    archive = archive_of(objects, primary)
    archive.open()
    for number in range(300):
        history.put(b"k%03d" % number, b"v" * number)
    synced(primary)
    catch_up(archive)
    snapshot(objects, primary, directory, archive)
    for number in range(0, 300, 3):
        history.delete(b"k%03d" % number)
    history.put(b"new", b"1")
    synced(primary)
    catch_up(archive)
    return archive


def drilled(objects: FileStore, primary: Primary, tmp_path: Path, back: int = 0) -> Drilled:
    source = tmp_path / "source"
    lsn = primary.store.checkpoint(str(source))
    try:
        return drill(Catalog(objects, NAMES), source, lsn - back, tmp_path / "scratch")
    finally:
        shutil.rmtree(source)
        assert not (tmp_path / "scratch").exists()


def test_the_same_is_said_to_be_the_same(
    objects: FileStore, primary: Primary, history: History, archive: Archive, tmp_path: Path
) -> None:
    done = drilled(objects, primary, tmp_path)
    assert (done.problem, done.loss, done.snapshot) == ("", None, "e1-0")
    assert done.compared.entries == len(history.now)
    assert done.compared.bytes == sum(len(key) + len(value) for key, value in history.now.items())
    assert done.downloaded_bytes > 0
    assert len(done.compared.sha256) == 64
    assert drilled(objects, primary, tmp_path).compared.sha256 == done.compared.sha256
    history.put(b"k001", b"other")
    synced(primary)
    catch_up(archive)
    assert drilled(objects, primary, tmp_path).compared.sha256 != done.compared.sha256


def test_every_kind_of_difference_is_told(
    objects: FileStore, primary: Primary, history: History, archive: Archive, tmp_path: Path
) -> None:
    """As if the last three records had never been archived right."""
    history.put(b"added", b"x")
    history.put(b"k001", b"changed")
    history.delete(b"k002")
    synced(primary)
    catch_up(archive)
    done = drilled(objects, primary, tmp_path, back=3)
    assert done.compared.differing == 3
    found = {one.key: one.what for one in done.compared.differences}
    assert "is not in the restored copy" in found[b"added"]
    assert "has version" in found[b"k001"]
    assert "is only in the restored copy" in found[b"k002"]
    assert "3 keys differ from the source" in done.problem


def test_what_is_not_in_the_archive_is_a_problem(
    objects: FileStore, primary: Primary, history: History, archive: Archive, tmp_path: Path
) -> None:
    history.put(b"late", b"x")
    assert "are lost" in drilled(objects, primary, tmp_path).problem
    first = Catalog(objects, NAMES).manifest(1, 0).files[0]
    objects.delete(NAMES.table(first.sha256))
    with pytest.raises(Damaged, match=first.sha256):
        drilled(objects, primary, tmp_path)


def test_what_expires_between_the_two_readings_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        store = open_store(tmp_path / name)
        store.put(b"stays", b"1", 0)
        if name == "a":
            store.put(b"goes", b"1", 500_000)
        store.close()
    assert compare(tmp_path / "a", tmp_path / "b").differing == 1
    later = time.time() + 1000
    monkeypatch.setattr("aidb_node.recovery.comparing.time.time", lambda: later)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert (found.differing, found.expired, found.entries) == (0, 1, 1)


@contextmanager
def running(
    objects: FileStore,
    primary: Primary,
    archive: Archive,
    directory: Path,
    said: dict[Kind, Check],
    every: dict[Kind, float],
) -> Iterator[None]:
    stop = threading.Event()
    checks = Checks(
        Catalog(objects, NAMES),
        primary,
        directory,
        every,
        archived=lambda: archive.progress.archived_lsn,
        said=said,
        changed=lambda: None,
        log=Log(),
        stop=stop,
    )
    thread = threading.Thread(target=checks.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def fresh() -> dict[Kind, Check]:
    return {"verify": Check(), "drill": Check()}


def test_checks_are_made_on_their_schedules_and_say_what_they_find(
    objects: FileStore, primary: Primary, history: History, archive: Archive, directory: Path
) -> None:
    said = fresh()
    with running(objects, primary, archive, directory, said, {"verify": 0.05, "drill": 0.1}):
        until(lambda: said["verify"].ended and said["drill"].ended)
    assert [said[kind].problem for kind in said] == ["", ""]
    assert said["drill"].lsn == said["verify"].lsn == primary.store.position()[1]
    assert min(one.at_ms for one in said.values()) > 0
    assert min(one.bytes for one in said.values()) > 0
    key = NAMES.table(Catalog(objects, NAMES).manifest(1, 0).files[0].sha256)
    objects.delete(key)
    with running(objects, primary, archive, directory, said, {"verify": 0.05, "drill": 0.0}):
        until(lambda: said["verify"].problem)
    assert key in said["verify"].problem
    assert not (directory / "drill").exists()


def test_restarts_put_no_check_off_and_forget_no_result(
    objects: FileStore, primary: Primary, history: History, archive: Archive, directory: Path
) -> None:
    day: dict[Kind, float] = {"verify": 86_400.0, "drill": 86_400.0}
    said = fresh()
    with running(objects, primary, archive, directory, said, day):
        until((directory / FILE).exists)
    assert said["verify"].ended == 0, "a schedule that is new begins now"
    known = json.loads((directory / FILE).read_bytes())
    known["verify"]["began"] -= 90_000.0
    known["drill"]["found"] |= {"problem": "3 keys differ", "at_ms": 7}
    (directory / FILE).write_text(json.dumps(known))
    with running(objects, primary, archive, directory, said, day):
        until(lambda: said["verify"].ended == 1)
    assert (said["drill"].problem, said["drill"].at_ms, said["drill"].ended) == ("3 keys differ", 7, 0)


def test_a_check_that_cannot_be_made_says_why(
    objects: FileStore, primary: Primary, archive: Archive, directory: Path
) -> None:
    said = fresh()
    nobody = Names("nobody", 0)
    stop = threading.Event()
    checks = Checks(
        Catalog(objects, nobody),
        primary,
        directory,
        {"verify": 0.0, "drill": 0.05},
        archived=lambda: 1 << 62,
        said=said,
        changed=lambda: None,
        log=Log(),
        stop=stop,
    )
    thread = threading.Thread(target=checks.run)
    thread.start()
    until(lambda: said["drill"].ended)
    stop.set()
    thread.join(10)
    assert "it could not be made: there is no object nobody/0/" in said["drill"].problem
    assert said["drill"].at_ms == 0
