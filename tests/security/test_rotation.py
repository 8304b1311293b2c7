"""Certificates and authorities are replaced while clients write and read, and no request fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import aidb
import aidb.aio
from aidb.aio.client import AsyncClient
from aidb.security import authority, tokens
from aidb.security.authority import Signed
from aidb.security.client import POLL_SECONDS
from aidb.security.names import DEFAULT_DOMAIN
from aidb.v1 import cluster_pb2, cluster_pb2_grpc, storage_pb2, storage_pb2_grpc
from tests.coordinator.process import until
from tests.security.cluster import (
    ROLES,
    SecuredCluster,
    bearer,
    metrics_addresses,
    scrape,
    served_certificate,
)
from tests.threads import Threads


class Load(Threads):
    """Writes and reads in a loop, on threads of its own, until it is stopped; what failed is kept."""

    def __init__(self, *steps: Callable[[int], None]) -> None:
        super().__init__()
        self.done = [0] * len(steps)
        self.failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(index, step)) for index, step in enumerate(steps)
        ]

    def _run(self, index: int, step: Callable[[int], None]) -> None:
        while not self._stop.is_set():
            try:
                step(self.done[index])
            except BaseException as error:
                self.failed.append(error)
                return
            self.done[index] += 1

    def goes_on(self) -> None:
        """Waits until every loop has done more, by whatever the cluster is now."""
        before = list(self.done)

        def more() -> bool:
            return all(now > then + 20 for now, then in zip(self.done, before, strict=True))

        until(lambda: self.failed or more(), 90)
        assert self.failed == []


@contextmanager
def load(secured: SecuredCluster) -> Iterator[Load]:
    """The client library routes to primary and replica; by raw calls each of them and the router is asked."""
    token_file = secured.directory / "load.token"
    authority.write_private(token_file, secured.secrets["read-write"].encode())
    tls = aidb.Tls(secured.tls_of("client"), token_file=token_file)
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()

    def asked(step: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(step(), loop).result(30)  # type: ignore[arg-type]

    async def connected() -> AsyncClient:
        return await aidb.aio.connect(secured.coordinator.address, tls=tls)

    with aidb.connect(secured.coordinator.address, tls=tls) as db:
        later = asyncio.run_coroutine_threadsafe(connected(), loop).result(30)

        def routed(turn: int) -> None:
            db.put(b"sync", b"%d" % turn)
            assert db.get(b"sync") == b"%d" % turn
            assert db.get(b"sync", consistency="strong") == b"%d" % turn

        def scanned(turn: int) -> None:
            db.put(b"scan:%d" % (turn % 50), b"%d" % turn)
            ordered = turn % 2 == 1
            found = [entry.key for entry in db.scan(prefix=b"scan:", ordered=ordered, reverse=turn % 4 > 1)]
            mine = {b"scan:%d" % one for one in range(min(turn + 1, 50))}
            assert mine <= set(found) and len(found) == len(set(found)), (turn, found)

        def of_aio(turn: int) -> None:
            async def step() -> None:
                await later.put(b"aio", b"%d" % turn)
                assert await later.get(b"aio") == b"%d" % turn

            asked(step)

        def raw(role: str) -> Callable[[int], None]:
            def step(turn: int) -> None:
                # A connection of its own each time: the handshake is what may fail.
                key, value = role.encode(), b"%d" % turn
                ca = (secured.tls_of("client") / "ca.crt").read_bytes()
                with secured.channel(secured.addresses[role], ca=ca) as channel:
                    stub = storage_pb2_grpc.StorageStub(channel)
                    allowed = bearer(secured.secrets["read-write"])
                    put = storage_pb2.PutRequest(key=key, value=value)
                    stub.Put(put, timeout=20, metadata=allowed)
                    stub.Get(storage_pb2.GetRequest(key=key), timeout=20, metadata=allowed)

            return step

        try:
            with Load(routed, scanned, of_aio, *map(raw, ("primary", "replica", "router"))) as running:
                yield running
        finally:
            asyncio.run_coroutine_threadsafe(later.close(), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            runner.join()
            loop.close()


def issue(secured: SecuredCluster, signer: Signed, ca: bytes) -> dict[str, Signed]:
    """New certificates for all, swapped in; by program."""
    made = {}
    for name in ("coordinator", "primary", "replica", "router"):
        kind = "coordinator" if name == "coordinator" else "node"
        made[name] = authority.program(signer, name, kind, DEFAULT_DOMAIN)
        secured.write(name, made[name], ca)
    secured.client = authority.client(signer, "tester")
    secured.write("client", secured.client, ca)
    return made


def served_by_all(secured: SecuredCluster, made: dict[str, Signed]) -> bool:
    der = serialization.Encoding.DER
    return all(
        served_certificate(secured, secured.addresses[name])
        == x509.load_pem_x509_certificate(signed.certificate).public_bytes(der)
        for name, signed in made.items()
    )


def test_certificates_are_renewed_under_load(secured: SecuredCluster) -> None:
    with load(secured) as running:
        running.goes_on()
        for _ in range(3):
            made = issue(secured, secured.authority, secured.authority.certificate)
            until(lambda made=made: served_by_all(secured, made))  # type: ignore[misc]
            running.goes_on()


def trusted_by_all(secured: SecuredCluster, stranger: Signed) -> bool:
    """A client of ``stranger`` is let in everywhere."""
    mine = authority.client(stranger, "new")
    try:
        for address in secured.addresses.values():
            with secured.channel(address, mine) as channel:
                grpc.channel_ready_future(channel).result(timeout=2)
    except grpc.FutureTimeoutError:
        return False
    return True


def test_an_authority_is_replaced_under_load(secured: SecuredCluster) -> None:
    old, new = secured.authority, authority.new_authority("next")
    both = old.certificate + new.certificate
    with load(secured) as running:
        issue(secured, old, both)
        until(lambda: trusted_by_all(secured, new))
        running.goes_on()
        made = issue(secured, new, both)
        until(lambda: served_by_all(secured, made))
        running.goes_on()
        secured.authority = new
        issue(secured, new, new.certificate)
        until(lambda: not trusted_by_all(secured, old))
        running.goes_on()


def test_a_token_is_replaced_under_load(secured: SecuredCluster) -> None:
    """The next one is made, given out, and the old one revoked."""
    old = secured.secrets["read-write"]
    digest = tokens.digest(old).hex()

    def taken(secret: str, is_taken: bool) -> bool:
        """By all of them."""
        for address in secured.addresses.values():
            with secured.channel(address) as channel:
                stub = cluster_pb2_grpc.DiscoveryStub(channel)
                try:
                    stub.GetTopology(cluster_pb2.GetTopologyRequest(), metadata=bearer(secret), timeout=20)
                except grpc.RpcError as error:
                    assert isinstance(error, grpc.Call)
                    if is_taken or error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                        return False
                else:
                    if not is_taken:
                        return False
        return True

    with load(secured) as running:
        running.goes_on()
        new = tokens.new_secret()
        known = [one for one in tokens.parse(secured.tokens.read_bytes()) if one.name != "read-write"]
        before = tokens.Token("before", "read-write", digest)
        after = tokens.Token("read-write", "read-write", tokens.digest(new).hex())
        authority.write_private(secured.tokens, tokens.document([*known, before, after]))
        until(lambda: taken(new, True))
        secured.secrets["read-write"] = new
        authority.write_private(secured.directory / "load.token", new.encode())
        given_out = time.monotonic()
        # Clients look each second; calls after that carry the new one.
        until(lambda: time.monotonic() > given_out + 2 * POLL_SECONDS)
        running.goes_on()
        secured.write_tokens(ROLES)
        until(lambda: taken(old, False))
        running.goes_on()


def test_files_that_cannot_be_used_change_nothing_and_are_told(secured: SecuredCluster) -> None:
    stranger = authority.program(secured.authority, "x", "node", DEFAULT_DOMAIN)
    before = served_certificate(secured, secured.primary.address)

    def failures(address: str) -> float:
        _, text = scrape(secured, address, secured.secrets["monitor"])
        line = next(
            line for line in text.splitlines() if line.startswith("aidb_security_reload_failures_total")
        )
        return float(line.split()[1])

    primary = next(a for a in metrics_addresses(secured)[1:2])
    told = failures(primary)
    secured.write("primary", Signed(stranger.certificate, secured.client.key))
    until(lambda: failures(primary) > told)
    assert served_certificate(secured, secured.primary.address) == before
    assert "cannot be used, what was read before stays in use" in secured.primary.log.read_text()

    known = secured.tokens.read_bytes()
    authority.write_private(secured.tokens, b"{")
    until(lambda: failures(primary) > told + 1)
    with aidb.connect(secured.primary.address, tls=secured.tls("read-write")) as db:
        db.put(b"k", b"v")
    authority.write_private(secured.tokens, known)
    secured.write("primary", stranger)
    until(lambda: served_certificate(secured, secured.primary.address) != before)


def test_a_client_says_what_is_wrong_with_its_files(
    secured: SecuredCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority.write_directory(tmp_path, secured.authority.certificate, secured.client)
    tls = aidb.Tls(tmp_path, token=secured.secrets["read-write"])
    with aidb.connect(secured.primary.address, tls=tls) as db:
        db.put(b"k", b"v")
        (tmp_path / "tls.key").unlink()
        until(lambda: db.get(b"k") == b"v" and "tls.key" in caplog.text)
    with pytest.raises(aidb.InvalidArgument, match=r"tls\.key"):
        aidb.connect(secured.primary.address, tls=tls)


def test_no_secret_is_in_logs_status_or_events(secured: SecuredCluster) -> None:
    """After what the other tests did: good tokens, bad ones, and keys that changed."""
    from google.protobuf import text_format

    allowed = bearer(secured.secrets["monitor"])
    with secured.channel(secured.coordinator.address) as channel:
        stub = cluster_pb2_grpc.CoordinationStub(channel)
        status = stub.GetClusterStatus(cluster_pb2.GetClusterStatusRequest(), metadata=allowed, timeout=10)
        events = stub.ListEvents(cluster_pb2.ListEventsRequest(limit=1000), metadata=allowed, timeout=10)
    said = [secured.logs(), *map(text_format.MessageToString, (status, events))]
    said += [
        scrape(secured, address, secured.secrets["monitor"])[1] for address in metrics_addresses(secured)
    ]
    assert all(said)
    keys = [
        secured.client.key,
        *((secured.tls_of(name) / "tls.key").read_bytes() for name in secured.addresses),
    ]
    secrets = [*secured.secrets.values(), *(key.decode().splitlines()[1] for key in keys)]
    secrets.append(secured.authority.key.decode().splitlines()[1])
    for text in said:
        assert [secret for secret in secrets if secret in text] == []
