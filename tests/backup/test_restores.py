"""A new cluster out of another one's objects, and a cluster that goes back while its coordinator runs: real
processes, an object store in a directory (D9).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import aidb
from aidb.client import Client
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import node_pb2, storage_pb2
from tests.coordinator.process import FAST, CoordinatorProcess, StartFailed, until
from tests.node.process import NodeProcess

SHARDS = 2
SECONDS = 120.0
LEASE = ("--lease-ms", "1000", "--takeover", "off", "--autoscale-interval", "1")
State = dict[bytes, bytes]


class Cluster:
    """A coordinator and the primaries that its document wants, each with a directory of its own."""

    def __init__(self, directory: Path, objects: Path, uid: str, *recover: str) -> None:
        self.uid = uid
        self.objects = objects
        self._directory = directory / uid
        self._url = f"file://{objects}"
        source = ["--recover-from", self._url] if recover else []
        arguments = ["--shards", str(SHARDS), "--cluster-uid", uid, "--objects", self._url, *FAST, *LEASE]
        self.coordinator = CoordinatorProcess(self._directory / "coordinator", *arguments, *source, *recover)
        self.nodes: dict[tuple[int, int], NodeProcess] = {}

    def start(self) -> Cluster:
        """Those that the document wants and that do not run."""
        for shard in self.coordinator.topology().shards:
            key = shard.id, max(1, shard.incarnation)
            if key not in self.nodes:
                self.nodes[key] = NodeProcess(
                    self.coordinator.address,
                    self._directory / f"shard-{key[0]}.{key[1]}",
                    *("--objects", self._url, "--incarnation", str(key[1])),
                    shard=shard.id,
                    name=f"shard-{key[0]}-primary-{key[1]}",
                )
        return self

    def serving(self) -> Cluster:
        until(lambda: all(one.state == pb.SHARD_RUNNING for one in self.coordinator.status().shards), SECONDS)
        for shard in self.coordinator.status().shards:
            self.nodes[shard.id, max(1, shard.incarnation)].connect(shard.primary.member.address)
        return self

    def primaries(self) -> Iterator[tuple[int, NodeProcess]]:
        for shard in self.coordinator.status().shards:
            yield shard.id, self.nodes[shard.id, max(1, shard.incarnation)]

    def client(self) -> Client:
        return aidb.connect(self.coordinator.address)

    def state(self) -> State:
        with self.client() as client:
            return {entry.key: entry.value for entry in client.scan()}

    def write(self, entries: State) -> None:
        with self.client() as client:
            for key, value in entries.items():
                client.put(key, value)

    def archived(self) -> None:
        """What is acknowledged now."""
        for _, node in self.primaries():
            lsn = stats(node).engine.synced_lsn
            until(lambda node=node, lsn=lsn: stats(node).durability.archived_lsn >= lsn, SECONDS)  # type: ignore[misc]

    def backup(self) -> None:
        for _, node in self.primaries():
            ended = node.node.Backup(node_pb2.BackupRequest(), timeout=10).snapshots_ended
            until(lambda node=node, ended=ended: stats(node).durability.snapshots_ended > ended, SECONDS)  # type: ignore[misc]
            assert stats(node).durability.snapshot_error == ""

    def restore(self, **fields: object) -> pb.RestoreResponse:
        answer: pb.RestoreResponse = self.coordinator.coordination.Restore(
            pb.RestoreRequest(**fields),  # type: ignore[arg-type]
            timeout=30,
        )
        return answer

    def stop(self) -> None:
        for node in self.nodes.values():
            node.stop()
        self.coordinator.stop()

    def kill(self) -> None:
        for node in self.nodes.values():
            node.kill()
        with contextlib.suppress(ValueError):
            self.coordinator.kill()


def stats(node: NodeProcess) -> storage_pb2.GetStatsResponse:
    answer: storage_pb2.GetStatsResponse = node.storage.GetStats(storage_pb2.GetStatsRequest(), timeout=10)
    return answer


def moment() -> int:
    """A time after everything that happened, and before everything that will."""
    at = time.time_ns() // 1_000_000 + 1
    until(lambda: time.time_ns() // 1_000_000 > at + 1)
    return at


def listing(objects: Path, uid: str) -> dict[str, str]:
    return {
        str(path.relative_to(objects)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((objects / uid).rglob("*"))
        if path.is_file()
    }


def entries(prefix: str, count: int) -> State:
    return {f"{prefix}{number:04}".encode(): f"{prefix} {number}".encode() for number in range(count)}


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[dict[str, Cluster]]:
    made: dict[str, Cluster] = {}
    yield made
    for one in made.values():
        one.kill()


@pytest.mark.timeout(600)  # many starts of programs
def test_new_clusters_begin_with_what_another_one_had(tmp_path: Path, clusters: dict[str, Cluster]) -> None:
    objects = tmp_path / "objects"
    source = clusters["a"] = Cluster(tmp_path, objects, "a").start().serving()
    source.write(first := entries("a", 60))
    source.backup()
    source.write(second := entries("b", 40))
    source.archived()
    then = moment()
    source.write({b"a0000": b"changed", b"new": b"one"})
    with source.client() as client:
        client.delete(b"b0001")
    source.archived()
    last = source.state()
    source.stop()
    before = listing(objects, "a")

    newest = clusters["b"] = Cluster(tmp_path, objects, "b", "--recover-uid", "a").start().serving()
    assert newest.state() == last
    assert listing(objects, "a") == before, "the source's objects are as they were"
    epochs = {shard.id: shard.epoch for shard in source_topology(objects).shards}
    for shard in newest.coordinator.topology().shards:
        assert shard.epoch > epochs[shard.id]
        assert not shard.HasField("recovery")
    newest.write({b"late": b"write"})
    newest.backup()

    earlier = Cluster(tmp_path, objects, "c", "--recover-uid", "a", "--recover-time", str(then))
    clusters["c"] = earlier.start().serving()
    assert earlier.state() == first | second
    assert listing(objects, "a") == before

    # A new cluster's own objects are as good as any: it dies as a whole, and a third one begins with them.
    newest.archived()
    newest.stop()
    third = clusters["d"] = Cluster(tmp_path, objects, "d", "--recover-uid", "b").start().serving()
    assert third.state() == last | {b"late": b"write"}
    with pytest.raises(StartFailed, match="name the uid of one"):
        Cluster(tmp_path, objects, "e", "--recover-uid", "")


def source_topology(objects: Path) -> pb.Topology:
    from aidb.durability.history import History
    from aidb.objects.file import FileStore

    history = History(FileStore(objects), "a")
    return history.get(history.newest_version()).topology


@pytest.mark.timeout(600)  # many starts of programs
def test_a_cluster_goes_back_while_its_coordinator_runs(tmp_path: Path, clusters: dict[str, Cluster]) -> None:
    cluster = clusters["a"] = Cluster(tmp_path, tmp_path / "objects", "a").start().serving()
    cluster.write(first := entries("a", 50))
    cluster.backup()
    cluster.archived()
    then = moment()
    cluster.write(dict.fromkeys(first, b"changed") | {b"new": b"one"})
    cluster.archived()
    last = cluster.state()

    begun = cluster.restore(id="back", clock_ms=then)
    assert (list(begun.shards), list(begun.waiting)) == ([0, 1], [0, 1])
    # The old primaries live; their disks are refused, and they end.
    for node in list(cluster.nodes.values()):
        assert node.exit_code() != 0
    again = cluster.restore(id="back", clock_ms=then)
    assert again.topology_version == begun.topology_version, "it is asked for once"
    assert cluster.start().serving().state() == first
    assert list(cluster.restore(id="back", clock_ms=then).waiting) == []
    assert {shard.incarnation for shard in cluster.coordinator.status().shards} == {2}

    # What was given up is no time to go back to; and the newest is what came after.
    with pytest.raises(grpc.RpcError, match="was given up"):
        cluster.restore(id="between", clock_ms=then + 1)
    cluster.write(second := {b"after": b"the restore"})
    cluster.archived()
    cluster.restore(id="newest")
    assert cluster.start().serving().state() == first | second
    assert last != first


def test_a_backup_of_the_cluster_is_kept_until_it_is_released(
    tmp_path: Path, clusters: dict[str, Cluster]
) -> None:
    cluster = clusters["a"] = Cluster(tmp_path, tmp_path / "objects", "a").start().serving()
    cluster.write(first := entries("a", 50))
    ask = cluster.coordinator.coordination.BackupCluster
    request = pb.BackupClusterRequest(id="one", name="by hand")
    begun = ask(request, timeout=10)
    assert (begun.complete, begun.cluster_uid) == (False, "a")

    def done() -> pb.ClusterBackup | None:
        (found,) = cluster.coordinator.status().backups
        return found if found.complete else None

    found = until(done, SECONDS)
    assert found is not None
    assert ask(request, timeout=10).shards == found.shards
    assert [one.shard for one in found.shards] == [0, 1]
    assert all(one.bytes and one.lsn and not one.problem for one in found.shards)
    assert found.clock_ms >= found.ended_ms >= found.began_ms
    holds = sorted(
        path.relative_to(tmp_path / "objects") for path in (tmp_path / "objects").rglob("hold/one")
    )
    assert [str(path) for path in holds] == ["a/0/hold/one", "a/1/hold/one"]

    # The coordinator knows how the second copy is.
    until(lambda: all(one.HasField("second_copy") for one in cluster.coordinator.status().shards), SECONDS)
    cluster.write({b"later": b"one"})
    until(lambda: time.time_ns() // 1_000_000 > found.clock_ms, SECONDS)
    cluster.restore(id="back", clock_ms=found.clock_ms)
    (told,) = cluster.coordinator.status().restores
    assert (told.id, list(told.shards), told.error) == ("back", [0, 1], "")
    state = cluster.start().serving().state()
    assert {key: value for key, value in state.items() if key != b"later"} == first
    ask(pb.BackupClusterRequest(id="one", release=True), timeout=10)
    assert not list((tmp_path / "objects").rglob("hold/one"))
    with pytest.raises(grpc.RpcError, match="nothing so old"):
        cluster.restore(id="long-ago", clock_ms=1_000)
    assert "nothing so old" in cluster.coordinator.status().restores[-1].error


@pytest.mark.timeout(600)  # many starts of programs
def test_one_shard_goes_back_and_the_others_serve(tmp_path: Path, clusters: dict[str, Cluster]) -> None:
    cluster = clusters["a"] = Cluster(tmp_path, tmp_path / "objects", "a").start().serving()
    cluster.write(first := entries("a", 50))
    cluster.archived()
    lsn = stats(cluster.nodes[0, 1]).engine.synced_lsn
    cluster.write(dict.fromkeys(first, b"changed"))
    cluster.archived()
    with pytest.raises(grpc.RpcError, match="one shard's"):
        cluster.restore(lsn=lsn)
    cluster.restore(id="one", shards=[0], lsn=lsn)
    assert cluster.nodes[0, 1].exit_code() != 0
    cluster.start().serving()
    state = cluster.state()
    assert set(state) == set(first)
    back = {key for key, value in state.items() if value == first[key]}
    assert 0 < len(back) < len(first)
    assert all(value == b"changed" for key, value in state.items() if key not in back)
    cluster.write(dict.fromkeys(first, b"new"))
    assert set(cluster.state().values()) == {b"new"}
