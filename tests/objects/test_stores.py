"""What every store must do; each test runs against a directory and against an S3 server."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidb.objects.errors import Exists, NoSuchKey, Unusable
from aidb.objects.file import FileStore
from aidb.objects.store import PAGE, ObjectStore, every


def keys(store: ObjectStore, prefix: str, after: str = "") -> list[str]:
    return [stat.key for stat in every(store, prefix, after)]


def test_gives_back_what_was_created_whole_or_in_part(store: ObjectStore) -> None:
    store.create("a/b", b"0123456789")
    assert store.get("a/b") == b"0123456789"
    assert store.get("a/b", 3) == b"3456789"
    assert store.get("a/b", 3, 4) == b"3456"
    assert store.get("a/b", 8, 100) == b"89"
    assert store.get("a/b", 10, 5) == b""
    assert store.get("a/b", 0, 0) == b""
    assert store.head("a/b").size == 10


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.create("empty", b"")
    assert store.get("empty") == b""
    assert store.get("empty", 0, 10) == b""
    assert store.head("empty").size == 0


def test_a_second_create_is_refused_and_changes_nothing(store: ObjectStore) -> None:
    store.create("one", b"first")
    with pytest.raises(Exists, match="one"):
        store.create("one", b"second")
    assert store.get("one") == b"first"


def test_of_racing_creates_one_succeeds(store: ObjectStore) -> None:
    def create(number: int) -> bool:
        try:
            store.create("race", b"%d" % number)
        except Exists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert store.get("race") == b"%d" % won.index(True)


@pytest.mark.parametrize("size", [0, 1, (5 << 20) + 1, (11 << 20)])
def test_files_in_one_piece_and_in_parts(store: ObjectStore, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    store.create_file("dir/file", path)
    assert store.get("dir/file") == path.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(b"y" * size)
    with pytest.raises(Exists):
        store.create_file("dir/file", other)
    assert store.get("dir/file") == path.read_bytes()


def test_what_is_not_there_is_said_to_be_missing(store: ObjectStore) -> None:
    for call in (store.get, store.head):
        with pytest.raises(NoSuchKey, match="nothing/here"):
            call("nothing/here")
    store.delete("nothing/here")
    store.create("a", b"x")
    store.delete("a")
    with pytest.raises(NoSuchKey):
        store.get("a")
    store.create("a", b"again")


def test_lists_in_order_by_prefix_and_from_a_key_on(store: ObjectStore) -> None:
    names = ["e1/log/0001", "e1/log/0002", "e1/manifest/1", "e10/log/0001", "e1-x", "e1.y", "f"]
    for name in names:
        store.create(name, b"")
    assert keys(store, "") == sorted(names)
    assert keys(store, "e1/") == ["e1/log/0001", "e1/log/0002", "e1/manifest/1"]
    assert keys(store, "e1/log/", "e1/log/0001") == ["e1/log/0002"]
    assert keys(store, "e1", "e1/manifest/1") == ["e10/log/0001"]
    assert keys(store, "none/") == []


def test_lists_more_than_a_page(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    names = [f"log/{number:05}" for number in range(PAGE + 7)]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert len(store.page("log/")) == PAGE
    assert keys(store, "log/") == names


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", ".hidden", "a b", "ä", "a/" + "x" * 300])
def test_keys_that_not_every_store_takes_are_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(Unusable):
        store.create(key, b"")


@given(st.lists(st.text("ab.-_", min_size=1, max_size=3), max_size=12), st.text("ab./-", max_size=4))
def test_a_directory_lists_like_a_sorted_set_of_keys(parts: list[str], prefix: str) -> None:
    """The order of directories and files is that of whole keys."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        store = FileStore(Path(directory))
        made = set()
        for number, part in enumerate(parts):
            key = f"{parts[number - 1]}/{part}" if number % 2 else part
            try:
                store.create(key, b"")
            except (Exists, Unusable, NoSuchKey):
                continue
            made.add(key)
        assert keys(store, prefix) == sorted(key for key in made if key.startswith(prefix))
        for after in made:
            assert keys(store, prefix, after) == sorted(
                key for key in made if key.startswith(prefix) and key > after
            )


def test_a_directory_is_opened_while_others_create_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it finds unfinished may have got its name before it looks closer."""
    FileStore(tmp_path)
    unfinished = tmp_path / ".unfinished" / "of-another-process"
    unfinished.touch()
    listed = list(os.scandir(unfinished.parent))
    unfinished.unlink()
    monkeypatch.setattr(os, "scandir", lambda path: listed)
    FileStore(tmp_path)
