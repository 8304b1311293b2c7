"""The file store: whole states only, one writer, and clear words about a directory it cannot use."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aidb_coordinator.store import Conflict, StoreBroken, StoreError
from aidb_coordinator.store import file as files
from aidb_coordinator.store.file import FileStore
from aidb_coordinator.topology import Topology

from tests.coordinator.values import topology


def version(number: int) -> Topology:
    return replace(topology(), version=number)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with versions 1 (previous) and 2 (current)."""
    directory = tmp_path / "store"
    store = FileStore(directory)
    first = store.swap(None, version(1))
    store.swap(first.revision, version(2))
    store.close()
    return directory


def refusal(directory: Path) -> str:
    with pytest.raises(StoreError) as caught:
        FileStore(directory).load()
    assert str(directory) in str(caught.value), "the message names the place"
    return str(caught.value)


def test_what_was_swapped_in_is_there_after_reopening(written: Path) -> None:
    store = FileStore(written)
    stored = store.load()
    assert stored is not None
    assert (stored.topology, stored.revision) == (version(2), "2")
    store.close()
    previous = json.loads((written / files.PREVIOUS).read_text())
    assert previous["topology"]["version"] == "1"


def test_a_swap_against_another_revision_changes_nothing(written: Path) -> None:
    store = FileStore(written)
    for expected in (None, "1", "3"):
        with pytest.raises(Conflict):
            store.swap(expected, version(9))
    stored = store.load()
    assert stored is not None
    assert stored.topology == version(2)
    store.close()


def test_a_file_that_was_changed_by_hand_is_noticed(written: Path) -> None:
    store = FileStore(written)
    assert store.load() is not None
    (written / files.PREVIOUS).replace(written / files.CURRENT)
    with pytest.raises(Conflict):
        store.swap("2", version(3))
    store.close()


def test_one_process_at_a_time(written: Path) -> None:
    store = FileStore(written)
    assert "locked" in refusal(written)
    store.close()
    FileStore(written).close()


def test_newer_formats_are_refused(written: Path) -> None:
    path = written / files.CURRENT
    path.write_text(path.read_text().replace('{"format":1,', '{"format":3,', 1))
    assert "start a newer one" in refusal(written)


def test_any_flipped_bit_and_any_cut_is_found(written: Path) -> None:
    path = written / files.CURRENT
    good = path.read_bytes()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    store = FileStore(written)
    for _ in range(200):
        damaged = bytearray(good)
        damaged[dice.randrange(len(good) - 1)] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(StoreError):
            store.load()
    for _ in range(50):
        path.write_bytes(good[: dice.randrange(len(good) - 1)])
        with pytest.raises(StoreError, match="damaged"):
            store.load()
    store.close()


def test_other_peoples_directories_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text("{}")
    assert "identity.json" in refusal(tmp_path)
    assert not (tmp_path / files.CURRENT).exists()


def test_another_programs_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / files.CURRENT).write_text('{"name": "something else"}')
    assert "not a topology of AiDb" in refusal(tmp_path)


def test_a_missing_topology_beside_its_previous_is_no_new_cluster(written: Path) -> None:
    (written / files.CURRENT).unlink()
    assert files.PREVIOUS in refusal(written)


def test_a_start_that_died_before_the_first_swap_is_a_new_directory(tmp_path: Path) -> None:
    for name in (files.LOCK, files.UNFINISHED, files.EVENTS):
        (tmp_path / name).write_text("")
    store = FileStore(tmp_path)
    assert store.load() is None
    store.close()


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot use" in refusal(tmp_path / "file")
    assert "cannot use" in refusal(tmp_path / "file" / "below")


@pytest.mark.parametrize("failing", ["fsync", "link", "replace"])
def test_a_write_that_fails_before_the_swap_changes_nothing_and_can_be_repeated(
    written: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store = FileStore(written)
    assert store.load() is not None

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, full)
        with pytest.raises(StoreError, match="No space left"):
            store.swap("2", version(3))
    assert store.swap("2", version(3)).revision == "3"
    store.close()


@pytest.mark.parametrize("step", range(1, 7))
def test_a_crash_at_any_step_leaves_the_old_or_the_new_state(
    written: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each system call of a swap in turn is the last one of the process."""

    class Crash(BaseException):
        pass

    store = FileStore(written)
    stored = store.load()
    calls = 0
    for name in ("fsync", "link", "replace", "open"):
        real = getattr(os, name)

        def counted(*arguments: object, real: Callable[..., object] = real, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                raise Crash
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, counted)
    with pytest.raises(Crash):
        store.swap("2", version(3))
    monkeypatch.undo()
    store.close()
    again = FileStore(written)
    stored = again.load()
    assert stored is not None
    assert stored.topology == (version(2) if step <= 4 else version(3))
    again.swap(stored.revision, version(4))
    again.close()


def test_when_the_directory_cannot_be_synced_the_store_is_broken(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(written)
    assert store.load() is not None

    def fail(directory: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "_sync_directory", fail)
    with pytest.raises(StoreBroken):
        store.swap("2", version(3))
    store.close()
