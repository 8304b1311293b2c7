"""The coordinator keeps every version of the topology in the object store, and nothing waits for that."""

from __future__ import annotations

from pathlib import Path

from aidb.durability.history import History
from aidb.objects.file import FileStore
from aidb.v1 import cluster_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, FakeMember, StartFailed, until

UID = "uid"


def started(tmp_path: Path) -> CoordinatorProcess:
    objects = ("--objects", (tmp_path / "objects").as_uri())
    return CoordinatorProcess(tmp_path / "data", "--shards", "1", "--cluster-uid", UID, *objects, *FAST)


def kept(tmp_path: Path) -> History:
    return History(FileStore(tmp_path / "objects"), UID)


def test_every_version_is_kept_over_restarts(tmp_path: Path) -> None:
    coordinator = started(tmp_path)
    history = kept(tmp_path)
    for number in range(3):
        member = FakeMember(f"shard-0-replica-{number}", pb.ROLE_REPLICA, f"127.0.0.1:{9000 + number}")
        version = member.register(coordinator).view.topology.version
        until(lambda version=version: history.newest_version() == version)  # type: ignore[misc]
    topology = coordinator.topology()
    newest = history.get(topology.version)
    assert newest.topology == topology
    assert coordinator.stop() == 0
    times = [history.get(number).at_ms for number in range(1, topology.version + 1)]
    assert times == sorted(times)
    again = started(tmp_path)
    late = FakeMember("shard-0-replica-9", pb.ROLE_REPLICA, "127.0.0.1:9009")
    version = late.register(again).view.topology.version
    until(lambda: history.newest_version() == version)
    again.kill()
    assert history.at(newest.at_ms).topology.version == newest.topology.version
    assert len(history.versions()) == version


def test_a_store_that_is_away_keeps_nothing_waiting(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    root.mkdir()
    # No directory can be made where a file lies.
    (root / UID).write_bytes(b"")
    coordinator = started(tmp_path)
    member = FakeMember("shard-0-replica-0", pb.ROLE_REPLICA, "127.0.0.1:9000")
    version = member.register(coordinator).view.topology.version
    (root / UID).unlink()
    until(lambda: kept(tmp_path).newest_version() == version)
    assert coordinator.stop() == 0


def test_a_wrong_url_is_refused_at_the_start(tmp_path: Path) -> None:
    try:
        CoordinatorProcess(tmp_path / "data", "--objects", "nonsense").kill()
    except StartFailed as failed:
        assert failed.code == 2
        assert "--objects" in failed.errors
    else:
        raise AssertionError("it started")
