"""Retries, and what is known after an answer was lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aidb.objects.errors import Exists, NoSuchKey, Unavailable
from aidb.objects.file import FileStore
from aidb.objects.retrying import Patience, RetryingStore
from tests.objects.faults import FaultyStore, Odds

QUICK = Patience(total=20, first_pause=0.001, longest_pause=0.002)


def test_every_fault_of_a_store_is_survived(tmp_path: Path) -> None:
    seed = 7
    odds = Odds(error=0.2, lost_answer=0.2, conflict=0.2, slow=0.1, slow_seconds=0.001)
    faulty = FaultyStore(FileStore(tmp_path / "objects"), odds, seed)
    store = RetryingStore(faulty, QUICK)
    source = tmp_path / "source"
    source.write_bytes(b"content of the file")
    for number in range(60):
        store.create(f"a/{number:03}", b"%d" % number)
        store.create_file(f"b/{number:03}", source)
    assert [store.get(stat.key) for stat in store.page("a/")] == [b"%d" % n for n in range(60)]
    assert all(store.get(stat.key) == b"content of the file" for stat in store.page("b/"))
    assert min(faulty.met.values()) > 0, faulty.met


def test_a_lost_answer_to_ones_own_create_is_success_and_anothers_object_is_not(tmp_path: Path) -> None:
    inner = FileStore(tmp_path)
    store = RetryingStore(FaultyStore(inner, Odds(lost_answer=0.5), 3), QUICK)
    for number in range(20):
        inner.create(f"taken/{number}", b"another's")
        with pytest.raises(Exists):
            store.create(f"taken/{number}", b"mine")
        store.create(f"free/{number}", b"mine")


def test_patience_ends(tmp_path: Path) -> None:
    broken = FaultyStore(FileStore(tmp_path), Odds(error=1.0), 1)
    with pytest.raises(Unavailable, match="given up after"):
        RetryingStore(broken, Patience(total=0.05, first_pause=0.001, longest_pause=0.01)).get("a")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Unavailable, match="500"):
        RetryingStore(broken, Patience(), stop).get("a")


def test_what_cannot_be_helped_is_not_tried_again(tmp_path: Path) -> None:
    counting = FaultyStore(FileStore(tmp_path), Odds(slow=1.0, slow_seconds=0), 1)
    with pytest.raises(NoSuchKey):
        RetryingStore(counting, QUICK).get("a")
    assert counting.met["slow"] == 1
