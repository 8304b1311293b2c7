"""Requests that are looked at one by one, by nodes hosted in this process: those of a sampled trace, each
program with a span of its own below the one before. What is slow is tested in node/src/serve/observed.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from aidb_node._native import Observed, Server
from aidb_node.config import Common

from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc as rpc
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import now_ms

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECONDS = 60.0
SEQUENCE = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Cluster:
    primary: Server
    replica: Server
    router: Server

    def storage(self, server: Server) -> rpc.StorageStub:
        return rpc.StorageStub(grpc.insecure_channel(server.address))


def common_of(coordinator: str, name: str) -> Common:
    return Common(
        name=name,
        listen="127.0.0.1:0",
        advertise="",
        metrics="",
        coordinator=coordinator,
        threads=1,
        connections=100,
        patience=30.0,
        zone="",
        node="",
        process_id=uuid.uuid4().hex,
        health="",
        keys=None,
        slow_request_ms=0,
        traces=True,
    )


def serving(server: Server, epoch: int = 0) -> Server:
    grant = server.register(cluster_uid="", disk_epoch=0, pending_epoch=epoch, last_lsn=0, timeout=SECONDS)
    server.begin(grant)
    return server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data = tmp_path_factory.mktemp("observed")
    coordinator = CoordinatorProcess(data / "coordinator", "--shards", "1", *FAST)
    servers: list[Server] = []
    try:
        primary = Server.primary(
            common_of(coordinator.address, "primary"),
            shard=0,
            data=str(data / "store"),
            disk_id="disk",
            sync="none",
            cache_bytes=1 << 20,
            memtable_bytes=1 << 20,
            memory_bytes=1 << 26,
            archive_lag_bytes=None,
        )
        servers.append(serving(primary, epoch=1))
        replica = Server.replica(
            common_of(coordinator.address, "replica"),
            shard=0,
            cache_bytes=1 << 20,
            update_bytes=0,
            warm="none",
            tail_bytes=1 << 20,
        )
        servers.append(serving(replica))
        servers.append(serving(Server.router(common_of(coordinator.address, "router"), hedge_extra=0.0)))
        until(lambda: all(shard.replicas for shard in coordinator.status().shards), SECONDS)
        made = Cluster(*servers)
        until(lambda: _serves(made), SECONDS)
        yield made
    finally:
        for server in reversed(servers):
            server.stop(0.0)
        coordinator.kill()


def _serves(cluster: Cluster) -> bool:
    try:
        cluster.storage(cluster.router).Get(pb.GetRequest(key=b"k"), timeout=5)
        cluster.storage(cluster.replica).Get(pb.GetRequest(key=b"k"), timeout=5)
    except grpc.RpcError:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_before(cluster: Cluster) -> None:
    for server in (cluster.primary, cluster.replica, cluster.router):
        server.observed(1000)


def header(flags: str = "01") -> common.RequestHeader:
    return common.RequestHeader(
        traceparent=f"00-{TRACE}-{PARENT}-{flags}",
        request_id=common.RequestId(client=7, seq=next(SEQUENCE)),
        first_sent_unix_ms=now_ms(),
        attempt=1,
        consistency=common.CONSISTENCY_STRONG,
    )


def one(server: Server) -> Observed:
    """The only request that was looked at; it counts when its answer has left."""
    found: list[Observed] = []

    def take() -> bool:
        observed, dropped = server.observed(100)
        assert dropped == 0
        found.extend(observed)
        return bool(found)

    until(take, SECONDS)
    assert len(found) == 1, [seen.method for seen in found]
    return found[0]


def parent_of(seen: Observed) -> str:
    version, trace, parent, flags = seen.traceparent.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    return parent


def ask(stub: rpc.StorageStub, method: str) -> None:
    match method:
        case "Get":
            stub.Get(pb.GetRequest(header=header(), key=b"k"), timeout=10)
        case "Put":
            stub.Put(pb.PutRequest(header=header(), key=b"k", value=b"v"), timeout=10)
        case "Delete":
            stub.Delete(pb.DeleteRequest(header=header(), key=b"other"), timeout=10)
        case "BatchGet":
            stub.BatchGet(pb.BatchGetRequest(header=header(), keys=[b"k"]), timeout=10)
        case "BatchPut":
            op = pb.WriteOp(key=b"k", value=b"v")
            stub.BatchPut(pb.BatchPutRequest(header=header(), ops=[op]), timeout=10)
        case "Scan":
            list(stub.Scan(pb.ScanRequest(header=header()), timeout=10))


METHODS = ("Get", "Put", "Delete", "BatchGet", "BatchPut", "Scan")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by", ["replica", "router"])
def test_each_program_has_a_span_below_the_one_before(cluster: Cluster, by: str, method: str) -> None:
    first = cluster.replica if by == "replica" else cluster.router
    ask(cluster.storage(first), method)
    outer, inner = one(first), one(cluster.primary)
    assert (outer.method, outer.code, outer.slow) == (method, "OK", False)
    assert parent_of(outer) == PARENT
    assert parent_of(inner) == outer.span_id
    assert inner.method == method and len(inner.span_id) == 16 and inner.span_id != outer.span_id
    assert (outer.client, outer.seq, outer.attempt) == (inner.client, inner.seq, inner.attempt)
    assert (outer.client, outer.attempt) == (7, 1) and outer.seq > 0
    assert outer.shard == (0 if by == "replica" else None) and inner.shard == 0
    assert outer.began_unix_ns <= inner.began_unix_ns + 1_000_000_000
    assert outer.duration_ns > 0 and inner.duration_ns > 0


def test_requests_of_a_pipeline_are_looked_at_one_by_one(cluster: Cluster) -> None:
    requests = [
        pb.PipelineRequest(id=1, get=pb.GetRequest(header=header(), key=b"k")),
        pb.PipelineRequest(id=1, get=pb.GetRequest(key=b"k")),
        pb.PipelineRequest(id=3, put=pb.PutRequest(key=b"k", value=b"v")),
    ]
    answers = list(cluster.storage(cluster.router).Pipeline(iter(requests), timeout=10))
    assert sorted(answer.id for answer in answers) == [1, 1, 3]
    outer, inner = one(cluster.router), one(cluster.primary)
    assert (outer.method, parent_of(outer)) == ("Get", PARENT)
    assert parent_of(inner) == outer.span_id


def test_what_is_not_sampled_goes_on_as_it_came(cluster: Cluster) -> None:
    storage = cluster.storage(cluster.replica)
    storage.Get(pb.GetRequest(header=header("00"), key=b"k"), timeout=10)
    storage.Get(pb.GetRequest(key=b"k"), timeout=10)
    ask(storage, "Put")
    assert one(cluster.replica).method == one(cluster.primary).method == "Put"


def test_refused_requests_are_looked_at_as_well(cluster: Cluster) -> None:
    with pytest.raises(grpc.RpcError):
        cluster.storage(cluster.primary).Get(pb.GetRequest(header=header(), key=b""), timeout=10)
    assert one(cluster.primary).code == "KEY_EMPTY"
