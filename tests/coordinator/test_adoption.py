"""D8: object stores that know more than the coordinator's directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aidb_coordinator import adoption, codec
from aidb_coordinator.settings import Settings, SettingsError
from aidb_coordinator.topology import Topology

from aidb.durability.history import ensure_history
from aidb.durability.placement import Placement
from aidb.durability.stamp import ensure_stamp
from aidb.objects.file import FileStore
from tests.coordinator.process import CoordinatorProcess, StartFailed, until
from tests.coordinator.values import topology

KNOWN = replace(topology(), version=7)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def made(**changes: Any) -> Settings:
        given = {"objects": tmp_path.joinpath("objects").as_uri(), "cluster_uid": "uid-1", **changes}
        return Settings(data=tmp_path / "data", listen="-", **given)

    return made


def keep(tmp_path: Path, document: Topology) -> None:
    history = ensure_history(FileStore(tmp_path / "objects"), document.cluster_uid)
    history.put(Placement(1, codec.to_proto(document)))


def test_a_store_with_a_newer_topology_is_refused(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    keep(tmp_path, KNOWN)
    adoption.check(settings(), KNOWN)
    adoption.check(settings(), replace(KNOWN, version=8))
    with pytest.raises(SettingsError, match="old copy"):
        adoption.check(settings(), replace(KNOWN, version=6))
    adoption.check(settings(objects=""), replace(KNOWN, version=6))


def test_a_store_with_data_is_adopted_only_when_asked(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    adoption.check(settings(), None)
    ensure_stamp(FileStore(tmp_path / "objects"), "uid-1")
    adoption.check(settings(), None)
    keep(tmp_path, KNOWN)
    with pytest.raises(SettingsError, match="--adopt"):
        adoption.check(settings(), None)
    adoption.check(settings(adopt=True), None)
    adoption.check(settings(cluster_uid=""), None)


def test_a_store_that_is_away_keeps_only_new_clusters_from_starting(
    settings: Callable[..., Settings],
) -> None:
    away = settings(objects="file:///proc/nothing/here")
    adoption.check(away, KNOWN)
    with pytest.raises(SettingsError, match="cannot tell"):
        adoption.check(away, None)


def test_an_old_copy_of_the_directory_does_not_start(
    start: Callable[..., CoordinatorProcess], tmp_path: Path
) -> None:
    arguments = ("--cluster-uid", "uid-1", "--objects", (tmp_path / "objects").as_uri())
    first = start(*arguments)
    topologies = tmp_path / "objects" / "uid-1" / "topology"
    until(lambda: topologies.exists() and list(topologies.iterdir()))
    first.kill()
    (tmp_path / "coordinator" / "topology.json").rename(tmp_path / "gone")
    for left in (tmp_path / "coordinator").iterdir():
        left.unlink()
    with pytest.raises(StartFailed, match="put the coordinator's directory back"):
        start(*arguments)
    start(*arguments, "--adopt")
