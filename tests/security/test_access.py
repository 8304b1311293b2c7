"""Every method of every service against every caller, over the real servers: the contracts' table holds."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from aidb.security.access import table
from aidb.security.authority import program
from aidb.security.names import DEFAULT_DOMAIN
from aidb.security.tokens import ROLES, new_secret
from aidb.v1 import access_pb2
from aidb.v1 import common_pb2 as common
from tests.security.cluster import SecuredCluster, bearer, metrics_addresses, scrape
from tools.reference.access import CERTIFICATE, EVERY, SERVED_BY, Method, allowed, methods

# It would do what it is asked, and end the program.
NEVER_ALLOWED_HERE = "/aidb.v1.Node/Drain"
ALL = tuple(methods())
LET_IN, NOT_SERVED, UNREACHABLE = "let in", "not served", "unreachable"
UNAUTHENTICATED, DENIED = "unauthenticated", "denied"
_OUTCOMES = {common.UNAUTHENTICATED: UNAUTHENTICATED, common.PERMISSION_DENIED: DENIED}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    cluster = SecuredCluster(tmp_path_factory.mktemp("secured"), health=True)
    yield cluster
    cluster.kill()


def method_of(path: str) -> Method:
    return next(method for method in ALL if method.path == path)


def outcome(channel: grpc.Channel, method: Method, token: str | None, seconds: float = 30.0) -> str:
    """Of a call with an empty message. Without any answer it is unreachable."""
    metadata = bearer(token) if token is not None else ()
    try:
        call: Any
        if method.streams:
            call = channel.stream_stream(method.path)
            answers = call(iter([b""]), timeout=seconds, metadata=metadata)
            next(answers, None)
            answers.cancel()
        else:
            call = channel.unary_unary(method.path)
            call(b"", timeout=seconds, metadata=metadata)
    except grpc.RpcError as error:
        trailers: dict[str, bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
        code = common.Error.FromString(trailers.get("aidb-error-bin", b"")).code
        if code == common.ERROR_UNSPECIFIED:
            assert isinstance(error, grpc.Call)
            status = error.code()
            if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return UNREACHABLE
            if status is grpc.StatusCode.UNIMPLEMENTED:
                return NOT_SERVED
        return _OUTCOMES.get(code, LET_IN)
    return LET_IN


def test_every_method_names_its_level_and_its_ports() -> None:
    assert len(table()) > 20
    assert [path for path, level in table().items() if level == access_pb2.ACCESS_UNSPECIFIED] == []
    assert {method.service for method in ALL} == set(SERVED_BY), "say which program serves it"


@pytest.mark.parametrize("port", EVERY)
def test_reflection_tells_of_no_other_service(secured: SecuredCluster, port: str) -> None:
    with secured.channel(secured.addresses[port]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        allowed_in = bearer(secured.secrets["monitor"])
        (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=30, metadata=allowed_in)
    told = {service.name for service in answer.list_services_response.service}
    served = {service for service, ports in SERVED_BY.items() if port in ports}
    assert told - set(SERVED_BY) == set(), "say which program serves it"
    # Reflection need not tell of itself.
    assert {name for name in served - told if not name.startswith("grpc.reflection.")} == set()


@pytest.mark.parametrize("port", EVERY)
def test_who_has_a_certificate_is_let_in_to_what_is_his(secured: SecuredCluster, port: str) -> None:
    """Every method of every service, those that this port does not serve among them, as everybody."""
    wrong = []
    strangers = {None: "none", "": "empty", new_secret(): "unknown", secured.secrets["expired"]: "expired"}
    with secured.channel(secured.addresses[port]) as channel:
        for method in ALL:
            served = port in SERVED_BY[method.service]
            for token, kind in strangers.items():
                found = outcome(channel, method, token)
                expected = LET_IN if allowed(method, CERTIFICATE) else UNAUTHENTICATED
                # What is not served may be told so before anybody asks for a token.
                if found != expected and (served or found not in (UNAUTHENTICATED, NOT_SERVED)):
                    wrong.append((method.path, kind, found))
            for role in ROLES if served else ("admin",):
                if method.path == NEVER_ALLOWED_HERE and allowed(method, role):
                    continue
                found = outcome(channel, method, secured.secrets[role])
                expected = LET_IN if allowed(method, role) else DENIED
                if found != expected and (served or found not in (DENIED, NOT_SERVED)):
                    wrong.append((method.path, role, found))
    assert wrong == []


@pytest.mark.parametrize("port", EVERY)
def test_a_limited_token_opens_nothing_but_its_keys(secured: SecuredCluster, port: str) -> None:
    """An empty message reaches for keyspace 0, which is none of its."""
    wrong = []
    with secured.channel(secured.addresses[port]) as channel:
        for method in ALL:
            if port not in SERVED_BY[method.service]:
                continue
            found = outcome(channel, method, secured.secrets["limited"])
            expected = LET_IN if allowed(method, "read-write") and not method.reaching else DENIED
            if found != expected:
                wrong.append((method.path, found))
    assert wrong == []


@pytest.mark.parametrize("port", EVERY)
def test_a_program_is_let_in_by_its_certificate(secured: SecuredCluster, port: str) -> None:
    node = program(secured.authority, "another", "node", DEFAULT_DOMAIN)
    wrong = []
    with secured.channel(secured.addresses[port], node) as channel:
        for method in ALL:
            if port in SERVED_BY[method.service] and method.path != NEVER_ALLOWED_HERE:
                found = outcome(channel, method, None)
                if found != LET_IN:
                    wrong.append((method.path, found))
    assert wrong == []


@pytest.mark.parametrize("port", EVERY)
def test_nobody_is_let_in_without_a_certificate(secured: SecuredCluster, port: str) -> None:
    """Not even with an administrator's token."""
    address, token = secured.addresses[port], secured.secrets["admin"]
    with (
        grpc.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as plain,
        secured.channel(address, certificate=False) as unknown,
        ThreadPoolExecutor(len(ALL)) as everything_at_once,
    ):
        for channel in (plain, unknown):
            # One after the other they would wait for each other's next attempt to connect.
            calls = [everything_at_once.submit(outcome, channel, method, token, 5.0) for method in ALL]
            found = [(method.path, call.result()) for method, call in zip(ALL, calls, strict=True)]
            assert [(path, what) for path, what in found if what != UNREACHABLE] == []
    # It was the certificate that was missing.
    with secured.channel(address) as channel:
        assert outcome(channel, method_of("/aidb.v1.Discovery/GetTopology"), token) == LET_IN


@pytest.mark.parametrize("port", EVERY)
def test_the_plain_port_has_health_and_nothing_else(secured: SecuredCluster, port: str) -> None:
    with grpc.insecure_channel(secured.health[port]) as channel:
        found = {method.path: outcome(channel, method, secured.secrets["admin"]) for method in ALL}
    open_to_all = {path for path, what in found.items() if what == LET_IN}
    assert open_to_all >= {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    assert {path for path in open_to_all if not path.startswith("/grpc.health.v1.")} == set()
    assert {what for path, what in found.items() if path not in open_to_all} == {NOT_SERVED}


@pytest.mark.parametrize("token", [*ROLES, "limited", "expired", None])
def test_metrics_are_for_monitors(secured: SecuredCluster, token: str | None) -> None:
    expected = 401 if token in (None, "expired") else 200
    for address in metrics_addresses(secured):
        secret = None if token is None else secured.secrets[token]
        assert scrape(secured, address, secret)[0] == expected, address


def test_what_no_contract_names_is_for_administrators(secured: SecuredCluster) -> None:
    unheard = Method("aidb.v1.Storage", "Unheard", False)
    for address in secured.addresses.values():
        with secured.channel(address) as channel:
            assert outcome(channel, unheard, None) in (UNAUTHENTICATED, NOT_SERVED)
