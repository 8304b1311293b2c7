from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aidb_coordinator.bootstrap import begin_term
from aidb_coordinator.settings import Settings, SettingsError
from aidb_coordinator.store.file import FileStore
from aidb_coordinator.topology import Durability, Topology


def begin(
    directory: Path, shards: int | None = None, uid: str = "", durability: str | None = None
) -> Topology:
    settings = Settings(data=directory, listen="-", shards=shards, cluster_uid=uid, durability=durability)
    store = FileStore(directory)
    try:
        return begin_term(store, settings).topology
    finally:
        store.close()


def test_the_first_start_stamps_a_uid_and_later_ones_only_raise_the_term(tmp_path: Path) -> None:
    first = begin(tmp_path, shards=4)
    assert (first.term, first.version, len(first.shards)) == (1, 1, 4)
    assert first.cluster_uid
    assert begin(tmp_path) == replace(first, term=2)
    assert begin(tmp_path, shards=4, uid=first.cluster_uid) == replace(first, term=3)


def test_the_mode_stays_until_another_is_given(tmp_path: Path) -> None:
    assert begin(tmp_path, durability="replica").durability is Durability.REPLICA
    assert begin(tmp_path).durability is Durability.REPLICA
    changed = begin(tmp_path, durability="archived")
    assert (changed.durability, changed.version) == (Durability.ARCHIVED, 2)
    with pytest.raises(SettingsError, match="--durability twice"):
        begin(tmp_path, durability="twice")


def test_another_uid_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    assert begin(tmp_path, uid="chosen").cluster_uid == "chosen"
    with pytest.raises(SettingsError, match="belongs to cluster chosen"):
        begin(tmp_path, uid="other")
    assert begin(tmp_path).term == 2


@pytest.mark.parametrize("shards", [0, -1, 16385])
def test_impossible_numbers_of_shards_leave_no_cluster_behind(tmp_path: Path, shards: int) -> None:
    with pytest.raises(SettingsError, match="1 to 16384"):
        begin(tmp_path, shards=shards)
    assert begin(tmp_path, shards=1).term == 1


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("lease_ms", 0, "must be positive"),
        ("probe_period_ms", -5, "must be positive"),
        ("heartbeat_ms", 5_000, "third of --lease-ms"),
        ("heartbeat_timeout_ms", 600, "two heartbeats"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, name: str, value: int, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        replace(Settings(data=tmp_path, listen="-"), **{name: value})  # type: ignore[arg-type]
