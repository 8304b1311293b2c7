"""How calls are judged, on a cluster that nobody has asked for everything (see test_access)."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from aidb.errors import ErrorCode
from aidb.security.tokens import ROLES
from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2, storage_pb2_grpc
from tests.coordinator.process import until
from tests.node.process import refusal
from tests.security.cluster import SecuredCluster, bearer
from tests.security.test_access import UNAUTHENTICATED, method_of, outcome


@pytest.mark.parametrize("role", ["primary", "replica", "router"])
def test_a_pipeline_judges_each_of_its_requests(secured: SecuredCluster, role: str) -> None:
    requests = [
        storage_pb2.PipelineRequest(id=1, get=storage_pb2.GetRequest(key=b"k")),
        storage_pb2.PipelineRequest(id=2, put=storage_pb2.PutRequest(key=b"k", value=b"v")),
        storage_pb2.PipelineRequest(id=3, batch_put=storage_pb2.BatchPutRequest()),
        storage_pb2.PipelineRequest(id=4, delete=storage_pb2.DeleteRequest(key=b"k")),
    ]
    with secured.channel(secured.addresses[role]) as channel:
        stub = storage_pb2_grpc.StorageStub(channel)
        answers = stub.Pipeline(iter(requests), timeout=10, metadata=bearer(secured.secrets["read-only"]))
        codes = {answer.id: answer.error.code for answer in answers}
    denied = common.PERMISSION_DENIED
    assert codes == {1: 0, 2: denied, 3: denied, 4: denied}


def test_a_pipeline_that_is_open_ends_with_its_token(secured: SecuredCluster) -> None:
    asked: SimpleQueue[storage_pb2.PipelineRequest | None] = SimpleQueue()
    get = storage_pb2.PipelineRequest(get=storage_pb2.GetRequest(key=b"k"))
    with secured.channel(secured.primary.address) as channel:
        allowed = bearer(secured.secrets["read-only"])
        answers = storage_pb2_grpc.StorageStub(channel).Pipeline(
            iter(asked.get, None), timeout=60, metadata=allowed
        )

        def code() -> int:
            asked.put(get)
            return next(answers).error.code

        assert code() == common.ERROR_UNSPECIFIED
        secured.write_tokens(["monitor", "read-write", "admin"])
        until(lambda: code() == common.UNAUTHENTICATED)
        secured.write_tokens(ROLES)
        until(lambda: code() == common.ERROR_UNSPECIFIED)
        asked.put(None)
        assert list(answers) == []


def test_a_revoked_token_is_refused_and_a_new_one_let_in(secured: SecuredCluster) -> None:
    method = method_of("/aidb.v1.Discovery/GetTopology")
    token = secured.secrets["read-only"]

    def refused_by_all() -> set[bool]:
        found = set()
        for address in secured.addresses.values():
            with secured.channel(address) as channel:
                found.add(outcome(channel, method, token) == UNAUTHENTICATED)
        return found

    secured.write_tokens(["monitor", "read-write", "admin"])
    until(lambda: refused_by_all() == {True})
    secured.write_tokens(ROLES)
    until(lambda: refused_by_all() == {False})


def test_a_refusal_says_what_to_do(secured: SecuredCluster) -> None:
    with secured.channel(secured.primary.address) as channel:
        stub = storage_pb2_grpc.StorageStub(channel)
        put = storage_pb2.PutRequest(key=b"k", value=b"v")
        error = refusal(lambda: stub.Put(put, metadata=bearer(secured.secrets["read-only"]), timeout=10))
        assert error.code == int(ErrorCode.PERMISSION_DENIED) and not error.retryable
        assert "read-write" in error.message and "aidb-admin tokens create" in error.message
        error = refusal(lambda: stub.Put(put, timeout=10))
        assert error.code == int(ErrorCode.UNAUTHENTICATED) and "AIDB_TOKEN_FILE" in error.message
