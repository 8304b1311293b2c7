"""Tokens that are limited to keyspaces and prefixes, at every program that speaks Storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

import aidb
import aidb.aio
from aidb.errors import ErrorCode
from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc
from tests.node.process import refusal
from tests.security.cluster import SecuredCluster, bearer

PROGRAMS = ("primary", "replica", "router")
INSIDE = (b"user:1", b"session:")
OUTSIDE = ((3, b"users"), (3, b"other"), (3, b"user"), (0, b"user:1"), (4, b"user:1"))

Stub = storage_pb2_grpc.StorageStub


@pytest.fixture(params=PROGRAMS)
def stub(secured: SecuredCluster, request: pytest.FixtureRequest) -> Iterator[Stub]:
    with secured.channel(secured.addresses[request.param]) as channel:
        yield Stub(channel)


class As:
    """Calls with the token of that name."""

    def __init__(self, secured: SecuredCluster, stub: Stub, name: str) -> None:
        self._stub = stub
        self._metadata = bearer(secured.secrets[name])

    def do(self, method: str, request: Any) -> Any:
        """The answer; of a stream, all of them."""
        call = getattr(self._stub, method)
        if method == "Pipeline":
            request = iter([request])
        answer = call(request, timeout=20, metadata=self._metadata)
        return list(answer) if method in ("Scan", "Watch", "Pipeline") else answer

    def refused(self, method: str, request: Any) -> str:
        """Why the call was refused with PERMISSION_DENIED."""
        error = refusal(lambda: self.do(method, request))
        assert error.code == int(ErrorCode.PERMISSION_DENIED) and not error.retryable, error
        return error.message


def of_key(keyspace: int, key: bytes) -> dict[str, Any]:
    """Every request that names a key, by its method."""
    header = common.RequestHeader(keyspace=keyspace, durability=common.DURABILITY_ASYNC)
    get = pb.GetRequest(header=header, key=key)
    put = pb.PutRequest(header=header, key=key, value=b"v")
    absent = pb.Condition(if_version=1)
    return {
        "Get": get,
        "Put": put,
        "Delete": pb.DeleteRequest(header=header, key=key),
        "BatchGet": pb.BatchGetRequest(header=header, keys=[b"user:1", key]),
        "BatchPut": pb.BatchPutRequest(
            header=header, ops=[pb.WriteOp(key=b"user:1", value=b"1"), pb.WriteOp(key=key, delete=True)]
        ),
        "Scan": pb.ScanRequest(header=header, prefix=key),
        "Conditional": pb.PutRequest(header=header, key=key, value=b"v", condition=absent),
    }


def method_of(name: str) -> str:
    return "Put" if name == "Conditional" else name


def test_what_is_within_is_done(secured: SecuredCluster, stub: Stub) -> None:
    limited = As(secured, stub, "limited")
    for key in INSIDE:
        for name, request in of_key(3, key).items():
            if name == "Conditional":
                error = refusal(lambda request=request: limited.do("Put", request))  # type: ignore[misc]
                assert error.code == int(ErrorCode.CONDITION_FAILED)
            else:
                assert limited.do(method_of(name), request) is not None, (name, key)
    assert limited.do("HealthCheck", pb.HealthCheckRequest()).serving


def test_what_reaches_beyond_is_refused(secured: SecuredCluster, stub: Stub) -> None:
    limited = As(secured, stub, "limited")
    admin = As(secured, stub, "read-write")
    for keyspace, key in OUTSIDE:
        mine = common.RequestHeader(keyspace=keyspace)
        admin.do("Put", pb.PutRequest(header=mine, key=key, value=b"kept"))
        before = common.RequestHeader(keyspace=3)
        admin.do("Put", pb.PutRequest(header=before, key=b"user:1", value=b"before"))
        for name, request in of_key(keyspace, key).items():
            why = limited.refused(method_of(name), request)
            assert "this token is for keys in keyspace 3, that begin with" in why, (name, why)
            assert "aidb-admin tokens create" in why
        # Nothing of them was done, not even the part of a batch that would have been allowed.
        strong = common.RequestHeader(keyspace=keyspace, consistency=common.CONSISTENCY_STRONG)
        assert admin.do("Get", pb.GetRequest(header=strong, key=key)).value == b"kept"
        strong = common.RequestHeader(keyspace=3, consistency=common.CONSISTENCY_STRONG)
        assert admin.do("Get", pb.GetRequest(header=strong, key=b"user:1")).value == b"before"


def test_a_pipeline_asks_each_of_its_requests(secured: SecuredCluster, stub: Stub) -> None:
    limited = As(secured, stub, "limited")

    def code(field: str, request: Any) -> int:
        asked = pb.PipelineRequest(id=1, **{field: request})
        (answer,) = limited.do("Pipeline", asked)
        return int(answer.error.code)

    fields = {
        "Get": "get",
        "Put": "put",
        "Delete": "delete",
        "BatchGet": "batch_get",
        "BatchPut": "batch_put",
    }
    for name, field in fields.items():
        assert code(field, of_key(3, b"session:7")[name]) == common.ERROR_UNSPECIFIED, name
        assert code(field, of_key(3, b"other")[name]) == common.PERMISSION_DENIED, name
        assert code(field, of_key(0, b"user:1")[name]) == common.PERMISSION_DENIED, name


@pytest.mark.parametrize(
    ("within", "bounds"),
    [
        (True, {"prefix": b"user:"}),
        (True, {"prefix": b"user:1", "reverse": True}),
        (True, {"start": b"user:", "end": b"user;"}),
        (True, {"start": b"session:5", "end": b"session:6", "prefix": b"s"}),
        (True, {"prefix": b"user:", "resume_after": pb.ScanCursor(slot=3, key=b"a")}),
        (False, {}),
        (False, {"reverse": True}),
        (False, {"prefix": b"user"}),
        (False, {"start": b"user:"}),
        (False, {"end": b"user;"}),
        (False, {"start": b"session:", "end": b"user;"}),
        (False, {"start": b"", "end": b"", "limit": 1}),
        (False, {"resume_after": pb.ScanCursor(slot=3, key=b"user:1")}),
    ],
)
def test_a_scan_stays_within_one_prefix(
    secured: SecuredCluster, stub: Stub, within: bool, bounds: dict[str, Any]
) -> None:
    request = pb.ScanRequest(header=common.RequestHeader(keyspace=3), **bounds)
    limited = As(secured, stub, "limited")
    if within:
        assert limited.do("Scan", request)
    else:
        assert "this scan reaches beyond" in limited.refused("Scan", request)


def test_each_limit_by_itself(secured: SecuredCluster, stub: Stub) -> None:
    spaces, prefixes = As(secured, stub, "keyspaces-only"), As(secured, stub, "prefixes-only")

    def get(keyspace: int, key: bytes) -> pb.GetRequest:
        return pb.GetRequest(header=common.RequestHeader(keyspace=keyspace), key=key)

    for keyspace in (3, 7):
        spaces.do("Get", get(keyspace, b"anything"))
        spaces.do("Scan", pb.ScanRequest(header=common.RequestHeader(keyspace=keyspace)))
    assert "keyspace 3 or 7" in spaces.refused("Get", get(0, b"anything"))
    spaces.refused("Scan", pb.ScanRequest())
    for keyspace, key in ((0, b"user:1"), (9, b"\xff\xff1")):
        prefixes.do("Get", get(keyspace, key))
    assert "\\xff\\xff" in prefixes.refused("Get", get(0, b"\xff"))


def test_a_role_counts_before_a_limit(secured: SecuredCluster, stub: Stub) -> None:
    reader = As(secured, stub, "limited-reader")
    inside = of_key(3, b"user:1")
    reader.do("Get", inside["Get"])
    for name in ("Put", "Delete", "BatchPut"):
        assert "read-write" in reader.refused(name, inside[name])


def test_administration_is_not_for_them(secured: SecuredCluster) -> None:
    from aidb.v1 import cluster_pb2, cluster_pb2_grpc, node_pb2, node_pb2_grpc

    metadata = bearer(secured.secrets["limited"])
    calls: list[Callable[[], object]] = []
    with (
        secured.channel(secured.primary.address) as node,
        secured.channel(secured.coordinator.address) as coordinator,
    ):
        asked = node_pb2_grpc.NodeStub(node)
        calls.append(lambda: asked.Flush(node_pb2.FlushRequest(), metadata=metadata, timeout=10))
        named = node_pb2.CheckpointRequest(name="all")
        calls.append(lambda: asked.Checkpoint(named, metadata=metadata, timeout=10))
        stub = cluster_pb2_grpc.CoordinationStub(coordinator)
        keys = cluster_pb2.ListHotKeysRequest()
        calls.append(lambda: stub.ListHotKeys(keys, metadata=metadata, timeout=10))
        for call in calls:
            assert refusal(call).code == int(ErrorCode.PERMISSION_DENIED)


@pytest.mark.parametrize("program", ["coordinator", "router"])
async def test_by_the_client_library(secured: SecuredCluster, program: str) -> None:
    address, tls = secured.addresses[program], secured.tls("limited")
    direct = program != "router"
    with aidb.connect(address, tls=tls, keyspace=3, direct=direct) as db:
        db.put(b"user:sync", b"1")
        assert db.get(b"user:sync") == b"1"
        found = [entry.key for entry in db.scan(prefix=b"user:", ordered=True)]
        assert b"user:sync" in found and found == sorted(found)
        assert {entry.key for entry in db.scan(prefix=b"user:")} == set(found)
        with pytest.raises(aidb.PermissionDenied, match="this scan reaches beyond"):
            list(db.scan())
        with pytest.raises(aidb.PermissionDenied, match="keyspace 3"):
            db.get(b"other")
        result = db.write_many([aidb.Write(b"user:a", b"1"), aidb.Write(b"other", b"1")])
        assert [type(error) for error in result.errors.values()].count(aidb.PermissionDenied) >= 1
        assert db.get(b"user:sync") == b"1"
    async with aidb.aio.connect(address, tls=tls, direct=direct) as later:
        with pytest.raises(aidb.PermissionDenied, match="keyspace 0 was asked for"):
            await later.get(b"user:sync")


def test_a_limit_is_taken_while_programs_run(secured: SecuredCluster) -> None:
    """`aidb-admin tokens` rewrites the file; an unlimited token may be limited, and a limited one freed."""
    from aidb.security import authority, tokens
    from tests.coordinator.process import until

    before = secured.tokens.read_bytes()
    known = [token for token in tokens.parse(before) if token.name != "limited"]
    digest = tokens.digest(secured.secrets["limited"]).hex()

    def allowed(stub: Stub) -> bool:
        try:
            As(secured, stub, "limited").do("Get", pb.GetRequest(key=b"free"))
        except grpc.RpcError:
            return False
        return True

    with secured.channel(secured.primary.address) as channel:
        stub = Stub(channel)
        assert not allowed(stub)
        freed = tokens.Token("limited", "read-write", digest)
        authority.write_private(secured.tokens, tokens.document([*known, freed]))
        until(lambda: allowed(stub))
        authority.write_private(secured.tokens, before)
        until(lambda: not allowed(stub))
