"""Times that a restore of the cluster gave up are known to later ones."""

from __future__ import annotations

from pathlib import Path

from aidb.durability.given_up import GivenUp, give_up, given_up_at
from aidb.durability.names import topologies
from aidb.objects.file import FileStore
from aidb.objects.store import every


def test_what_lies_between_is_given_up(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    first, second = GivenUp(100, 200), GivenUp(50, 300)
    assert given_up_at(store, "uid", 150) is None
    give_up(store, "uid", first)
    give_up(store, "uid", first)
    assert [given_up_at(store, "uid", at) for at in (100, 101, 199, 200)] == [None, first, first, None]
    give_up(store, "uid", second)
    assert given_up_at(store, "uid", 250) == given_up_at(store, "uid", 60) == second
    assert given_up_at(store, "other", 150) is None
    assert not list(every(store, topologies("uid")))
