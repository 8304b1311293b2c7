"""Who is not let in is told why, and harms nobody."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import aidb
import aidb.aio
from aidb.metrics import MOST
from aidb.security import authority
from aidb.security.names import DEFAULT_DOMAIN
from aidb.v1 import storage_pb2, storage_pb2_grpc
from tests.coordinator.process import CoordinatorProcess, until
from tests.node.process import NodeProcess
from tests.security.cluster import SecuredCluster, metrics_addresses, scrape

PORTS = ("coordinator", "primary", "replica", "router")


def refused(tls: aidb.Tls | None, address: str) -> str:
    with pytest.raises(aidb.AidbError) as caught:
        aidb.connect(address, tls=tls, timeout=2).close()
    return str(caught.value)


@pytest.fixture(autouse=True)
def everybody_else_is_served(secured: SecuredCluster) -> object:
    """Whatever a test does: before and after it, a client reads what it wrote."""
    with aidb.connect(secured.coordinator.address, tls=secured.tls("read-write")) as db:
        db.put(b"before", b"1")
        yield
        assert db.get(b"before") == b"1"
    with aidb.connect(secured.router.address, tls=secured.tls("read-write")) as db:
        db.put(b"after", b"2")
        assert db.get(b"after") == b"2"


async def test_the_asyncio_client(secured: SecuredCluster) -> None:
    async with aidb.aio.connect(secured.replica.address, tls=secured.tls("read-write")) as db:
        await db.put(b"aio", b"1")
        assert await db.get(b"aio") == b"1"
        assert [entry.key async for entry in db.scan(prefix=b"aio")] == [b"aio"]
    async with aidb.aio.connect(secured.replica.address, tls=secured.tls("read-only")) as db:
        with pytest.raises(aidb.PermissionDenied, match="read-write"):
            await db.put(b"aio", b"2")


@pytest.mark.parametrize("port", PORTS)
def test_an_authority_that_is_not_the_clusters(secured: SecuredCluster, tmp_path: Path, port: str) -> None:
    stranger = authority.new_authority("stranger")
    mine = authority.client(stranger, "mine")
    # It trusts the cluster, the cluster does not trust it; and the other way round.
    authority.write_directory(tmp_path / "a", secured.authority.certificate, mine)
    authority.write_directory(tmp_path / "b", stranger.certificate, secured.client)
    token = secured.secrets["admin"]
    # Both try until their time is over.
    with ThreadPoolExecutor() as together:
        said = together.map(
            lambda name: refused(aidb.Tls(tmp_path / name, token=token), secured.addresses[port]), ("a", "b")
        )
        assert "not of the authority in ca.crt" in list(said)[1]


@pytest.mark.parametrize("port", PORTS)
def test_a_certificate_that_has_expired(secured: SecuredCluster, tmp_path: Path, port: str) -> None:
    old = authority.client(secured.authority, "old", timedelta(minutes=-1))
    authority.write_directory(tmp_path, secured.authority.certificate, old)
    refused(aidb.Tls(tmp_path, token=secured.secrets["admin"]), secured.addresses[port])


@pytest.mark.parametrize("port", PORTS)
def test_a_client_without_a_certificate(secured: SecuredCluster, port: str) -> None:
    with secured.channel(secured.addresses[port], certificate=False) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_nobody_is_taken_for_what_he_is_not(secured: SecuredCluster, tmp_path: Path) -> None:
    """A server with a client's certificate is no coordinator, and one with a node's neither."""
    node = authority.program(secured.authority, "n", "node", DEFAULT_DOMAIN)
    for number, signed in enumerate((secured.client, node)):
        server = grpc.server(ThreadPoolExecutor(1))
        credentials = grpc.ssl_server_credentials([(signed.key, signed.certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        options = ("--tls", str(secured.tls_of("router")), "--tokens", str(secured.tokens))
        follower = NodeProcess(
            f"127.0.0.1:{port}", tmp_path / f"node-{number}", *options, role="router", name="router-9"
        )
        said = until(partial(_after, follower.log, "not registered yet"), 90)
        assert f"no TLS with it as coordinator.{DEFAULT_DOMAIN}" in said, said
        follower.kill()
        server.stop(None).wait()


def _after(log: Path, words: str) -> str:
    return log.read_text().partition(words)[2]


def test_a_program_does_not_start_with_what_nobody_would_accept(
    secured: SecuredCluster, tmp_path: Path
) -> None:
    expired = authority.program(secured.authority, "n", "node", DEFAULT_DOMAIN, timedelta(minutes=-1))
    other = authority.program(secured.authority, "n", "node", "other.internal")
    for number, (signed, words) in enumerate(
        [(expired, "expired"), (secured.client, "node.aidb.internal"), (other, "--tls-domain")]
    ):
        authority.write_directory(tmp_path / f"tls-{number}", secured.authority.certificate, signed)
        options = ("--tls", str(tmp_path / f"tls-{number}"), "--tokens", str(secured.tokens))
        node = NodeProcess("127.0.0.1:1", tmp_path / f"n-{number}", *options, role="router", name="r")
        assert node.exit_code() == 2
        assert "cannot start" in node.log.read_text() and words in node.log.read_text()
    node = NodeProcess("127.0.0.1:1", tmp_path / "n", *options[:2], role="router", name="r")
    assert node.exit_code() == 2 and "--tls and --tokens go together" in node.log.read_text()


@pytest.mark.parametrize("port", PORTS)
def test_no_tls_to_a_port_with(secured: SecuredCluster, port: str) -> None:
    said = refused(None, secured.addresses[port])
    assert "AIDB_TLS" in said, said


@pytest.mark.parametrize("port", ["primary", "replica", "router"])
def test_http_1_to_a_port_with_tls(secured: SecuredCluster, port: str) -> None:
    host, _, number = secured.addresses[port].rpartition(":")
    with socket.create_connection((host, int(number)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 426 ") and b"AIDB_TLS" in answer


def test_whoever_says_nothing_keeps_nobody_out(secured: SecuredCluster) -> None:
    silent = []
    for address in secured.addresses.values():
        host, _, number = address.rpartition(":")
        silent += [socket.create_connection((host, int(number))) for _ in range(40)]
    with aidb.connect(secured.primary.address, tls=secured.tls("read-only")) as db:
        assert db.get(b"before") == b"1"
    for connection in silent:
        connection.close()


def test_the_health_port_serves_nothing_else(secured: SecuredCluster, tmp_path: Path) -> None:
    ports = {}
    for name in ("node", "coordinator"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[name] = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--tls", str(secured.tls_of("router")), "--tokens", str(secured.tokens), "--health-listen")
    node = NodeProcess(
        secured.coordinator.address, tmp_path / "r", *options, ports["node"], role="router", name="router-1"
    ).ready()
    options = ("--tls", str(secured.tls_of("coordinator")), *options[2:])
    coordinator = CoordinatorProcess(tmp_path / "c", *options, ports["coordinator"])
    try:
        for address in ports.values():
            with grpc.insecure_channel(address) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                for service in ("", "liveness"):
                    answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
                    assert answer.status == health_pb2.HealthCheckResponse.SERVING
                with pytest.raises(grpc.RpcError) as caught:
                    storage_pb2_grpc.StorageStub(channel).Get(storage_pb2.GetRequest(key=b"k"), timeout=10)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "speaks no TLS" in refused(secured.tls(), address)
            with grpc.insecure_channel(address) as channel:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    finally:
        node.kill()
        coordinator.kill()


def test_handshakes_that_do_not_end_hold_up_no_scrape(secured: SecuredCluster) -> None:
    """More than are served at a time, each with the first byte of a TLS connection."""
    held = []
    for address in metrics_addresses(secured):
        host, _, number = address.rpartition(":")
        for _ in range(MOST + 4):
            held.append(socket.create_connection((host, int(number)), timeout=30))
            held[-1].sendall(b"\x16")
        assert scrape(secured, address, secured.secrets["monitor"])[0] == 200
    for connection in held:
        connection.close()


def test_metrics_want_a_certificate_and_a_token(secured: SecuredCluster) -> None:
    addresses = metrics_addresses(secured)
    assert len(addresses) == 4
    for address in addresses:
        status, text = scrape(secured, address, secured.secrets["monitor"])
        assert status == 200 and "aidb_certificate_expires_timestamp_seconds" in text
        assert scrape(secured, address, None)[0] == 401
        assert scrape(secured, address, secured.secrets["expired"])[0] == 401
        with pytest.raises(OSError):
            urllib.request.urlopen(f"https://{address}/metrics", timeout=10)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{address}/metrics", timeout=10)
        assert caught.value.code == 426
