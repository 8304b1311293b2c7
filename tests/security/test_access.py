"""Every method of every service against every caller, over the real servers: the contracts' table holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from aidb.errors import ErrorCode
from aidb.security.access import CONTRACTS, table
from aidb.security.authority import program
from aidb.security.names import DEFAULT_DOMAIN
from aidb.security.tokens import ROLES, new_secret
from aidb.v1 import access_pb2, storage_pb2, storage_pb2_grpc
from aidb.v1 import common_pb2 as common
from tests.coordinator.process import until
from tests.node.process import refusal
from tests.security.cluster import SecuredCluster, bearer

SERVED_BY = {
    "Storage": ("primary", "replica", "router"),
    "Replication": ("primary",),
    "Moving": ("primary",),
    "Tail": ("replica",),
    "Node": ("primary", "replica", "router"),
    "Discovery": ("coordinator", "primary", "replica", "router"),
    "Coordination": ("coordinator",),
}
# It would do what it is asked, and end the program.
NEVER_ALLOWED_HERE = "/aidb.v1.Node/Drain"
REFUSALS = (common.UNAUTHENTICATED, common.PERMISSION_DENIED)


@dataclass(frozen=True)
class Method:
    path: str
    service: str
    streams: bool
    level: access_pb2.Access.ValueType


def methods() -> Iterator[Method]:
    for contract in CONTRACTS:
        for service in contract.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                streams = bool(method.client_streaming or method.server_streaming)
                yield Method(path, service.name, streams, table()[path])


def outcome(channel: grpc.Channel, method: Method, token: str | None) -> int:
    """The code of a call with an empty message; 0 = the call was let in and nothing was wrong with it."""
    metadata = bearer(token) if token is not None else ()
    try:
        call: Any
        if method.streams:
            call = channel.stream_stream(method.path)
            answers = call(iter([b""]), timeout=10, metadata=metadata)
            next(answers, None)
            answers.cancel()
        else:
            call = channel.unary_unary(method.path)
            call(b"", timeout=10, metadata=metadata)
    except grpc.RpcError as error:
        trailers: dict[str, bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
        return common.Error.FromString(trailers.get("aidb-error-bin", b"")).code
    return 0


def test_every_method_names_its_level() -> None:
    assert len(table()) > 20
    assert [path for path, level in table().items() if level == access_pb2.ACCESS_UNSPECIFIED] == []
    assert {method.service for method in methods()} == set(SERVED_BY), "say which program serves it"


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.path)
def test_only_who_may_call_is_let_in(secured: SecuredCluster, method: Method) -> None:
    for role in SERVED_BY[method.service]:
        with secured.channel(secured.addresses[role]) as channel:
            for stranger in (None, "", new_secret(), secured.secrets["expired"]):
                assert outcome(channel, method, stranger) == common.UNAUTHENTICATED, (role, stranger)
            for name, level in ROLES.items():
                if level < method.level:
                    assert outcome(channel, method, secured.secrets[name]) == common.PERMISSION_DENIED, name
                elif method.path != NEVER_ALLOWED_HERE:
                    assert outcome(channel, method, secured.secrets[name]) not in REFUSALS, name


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.path)
def test_a_program_is_let_in_by_its_certificate(secured: SecuredCluster, method: Method) -> None:
    if method.path == NEVER_ALLOWED_HERE:
        return
    node = program(secured.authority, "another", "node", DEFAULT_DOMAIN)
    for role in SERVED_BY[method.service]:
        with secured.channel(secured.addresses[role], node) as channel:
            assert outcome(channel, method, None) not in REFUSALS, role


def test_what_no_contract_names_is_for_administrators(secured: SecuredCluster) -> None:
    unheard = Method("/aidb.v1.Storage/Unheard", "Storage", False, access_pb2.ACCESS_ADMIN)
    for address in secured.addresses.values():
        with secured.channel(address) as channel:
            assert outcome(channel, unheard, None) in (common.UNAUTHENTICATED, common.ERROR_UNSPECIFIED)


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
    method = next(method for method in methods() if method.path == "/aidb.v1.Discovery/GetTopology")
    token = secured.secrets["read-only"]

    def refused_by_all() -> set[bool]:
        found = set()
        for address in secured.addresses.values():
            with secured.channel(address) as channel:
                found.add(outcome(channel, method, token) == common.UNAUTHENTICATED)
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
