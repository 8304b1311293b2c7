"""The topology's history says what held when, is believed only where it belongs, and goes when no snapshot
needs it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import claim_epoch
from aidb.durability.history import History, collect, damaged, ensure_history
from aidb.durability.identity import Place
from aidb.durability.manifest import Manifest
from aidb.durability.names import Names, topology
from aidb.durability.placement import Placement
from aidb.objects.errors import Damaged, NoSuchKey
from aidb.objects.file import FileStore
from aidb.v1 import cluster_pb2 as pb

UID = "uid"


def placement(version: int, at_ms: int, uid: str = UID, term: int = 1) -> Placement:
    return Placement(at_ms, pb.Topology(cluster_uid=uid, version=version, term=term))


@pytest.fixture
def history(tmp_path: Path) -> History:
    found = ensure_history(FileStore(tmp_path / "objects"), UID)
    for version, at_ms in ((1, 100), (2, 200), (5, 200), (9, 300)):
        found.put(placement(version, at_ms))
    return found


def test_what_held_at_a_time(history: History) -> None:
    found = [history.at(at).topology.version for at in (100, 199, 200, 299, 300, 1 << 50)]
    assert found == [1, 1, 5, 5, 9, 9]
    assert history.newest_version() == 9
    with pytest.raises(NoSuchKey, match="clock 99 or before"):
        history.at(99)


def test_a_version_is_kept_once_and_another_one_is_seen(history: History) -> None:
    again = placement(9, 999, term=7)
    assert history.put(again).at_ms == 300
    assert history.put(again).same_as(again)
    other = placement(9, 300)
    other.topology.shards.add(id=3)
    assert not history.put(other).same_as(other)


def test_an_object_under_another_name_or_of_another_cluster_is_refused(history: History) -> None:
    history.store.create(topology(UID, 12), placement(9, 300).encode())
    history.store.create(topology("other", 9), placement(9, 300).encode())
    history.store.create(topology(UID, 13), b"rubbish")
    for one, version, words in (
        (history, 12, "it is version 9 of cluster uid, not 12 of uid"),
        (History(history.store, "other"), 9, "not 9 of other"),
        (history, 13, "less than any object of AiDb"),
    ):
        with pytest.raises(Damaged, match=words):
            one.get(version)
    versions, problems = damaged(history)
    assert versions == 6
    assert [problem.object for problem in problems] == [topology(UID, 12), topology(UID, 13)]


def test_what_no_snapshot_needs_goes(history: History) -> None:
    store, day = history.store, 86_400
    assert isinstance(store, FileStore)
    now = time.time()
    for version, days in ((1, 40), (2, 30), (5, 20), (9, 10)):
        then = now - days * day
        os.utime(store._path(topology(UID, version)), (then, then))
    claim_epoch(Catalog(store, Names(UID, 0)), 1, "disk", "owner")
    assert collect(history, dry_run=False) == [], "a shard without a snapshot needs who knows what"
    taken = int((now - 15 * day) * 1000)
    manifest = Manifest(Place(UID, 0, 1), "id", "", 1, 1, 1, taken, None, (), b"")
    store.create(Names(UID, 0).manifest(1, 0), manifest.encode())
    planned = collect(history, dry_run=True)
    assert [stat.key for stat in planned] == [topology(UID, 1), topology(UID, 2)]
    assert len(history.versions()) == 4
    assert collect(history, dry_run=False) == planned
    assert [stat.key for stat in history.versions()] == [topology(UID, 5), topology(UID, 9)]
