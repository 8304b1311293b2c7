"""A secured cluster of real processes, and clients of all kinds of it."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc

import aidb
from aidb.local.ports import free_ports
from aidb.security import authority, tokens
from aidb.security.authority import Signed
from aidb.security.names import DEFAULT_DOMAIN, server_name
from aidb.v1 import cluster_pb2, cluster_pb2_grpc
from tests.coordinator.process import FAST, CoordinatorProcess
from tests.node.process import NodeProcess

ROLES = tuple(tokens.ROLES)
# By name, the keyspaces and prefixes that a token of this role is limited to.
LIMITED: dict[str, tuple[str, tuple[int, ...], tuple[bytes, ...]]] = {
    "limited": ("read-write", (3,), (b"user:", b"session:")),
    "limited-reader": ("read-only", (3,), (b"user:",)),
    "keyspaces-only": ("read-write", (3, 7), ()),
    "prefixes-only": ("read-write", (), (b"user:", b"\xff\xff")),
}


class SecuredCluster:
    """One shard with one replica, a router and a coordinator. ``secrets`` has a token of each role, limited
    ones, and one that has expired.
    """

    def __init__(self, directory: Path, *, health: bool = False) -> None:
        """``health``: each has a plain port for that."""
        self.directory = directory
        programs = ("coordinator", "primary", "replica", "router") if health else ()
        ports = free_ports(len(programs))
        self.health = {name: f"127.0.0.1:{port}" for name, port in zip(programs, ports, strict=True)}
        self.authority = authority.new_authority("test")
        self.secrets = {name: tokens.new_secret() for name in (*ROLES, *LIMITED, "expired")}
        self.tokens = directory / "tokens.json"
        self.write_tokens(ROLES)
        self.client = authority.client(self.authority, "tester")
        self.write("client", self.client)
        self.coordinator = CoordinatorProcess(
            directory / "coordinator-data",
            "--shards",
            "1",
            *FAST,
            *self._options("coordinator"),
            log=directory / "coordinator.log",
        )
        self.primary = self._node("primary", "shard-0-primary")
        self.replica = self._node("replica", "shard-0-replica-0")
        self.router = self._node("router", "router-0")

    def _node(self, role: str, name: str) -> NodeProcess:
        node = NodeProcess(
            self.coordinator.address,
            self.directory / f"{role}-data",
            *self._options(role),
            role=role,
            name=name,
        )
        return node.ready()

    def _options(self, role: str) -> Iterable[str]:
        kind = "coordinator" if role == "coordinator" else "node"
        self.write(role, authority.program(self.authority, role, kind, DEFAULT_DOMAIN))
        yield from ("--tls", str(self.tls_of(role)), "--tokens", str(self.tokens))
        yield from ("--metrics", "127.0.0.1:0")
        if role in self.health:
            yield from ("--health-listen", self.health[role])

    @property
    def addresses(self) -> dict[str, str]:
        nodes = {"primary": self.primary, "replica": self.replica, "router": self.router}
        return {
            "coordinator": self.coordinator.address,
            **{name: node.address for name, node in nodes.items()},
        }

    def tls_of(self, name: str) -> Path:
        return self.directory / "tls" / name

    def write(self, name: str, signed: Signed, ca: bytes = b"") -> None:
        """The next content of a TLS directory, swapped in as Kubernetes does."""
        authority.write_directory(self.tls_of(name), ca or self.authority.certificate, signed)

    def write_tokens(self, names: Iterable[str]) -> None:
        known = [
            tokens.Token(name, name, tokens.digest(self.secrets[name]).hex())
            for name in names
            if name in ROLES
        ]
        expired = tokens.Token("expired", "admin", tokens.digest(self.secrets["expired"]).hex(), 1)
        limited = [
            tokens.Token(name, role, tokens.digest(self.secrets[name]).hex(), 0, keyspaces, prefixes)
            for name, (role, keyspaces, prefixes) in LIMITED.items()
        ]
        authority.write_private(self.tokens, tokens.document([*known, *limited, expired]))

    def tls(self, role: str = "admin") -> aidb.Tls:
        return aidb.Tls(self.tls_of("client"), token=self.secrets[role])

    def channel(
        self, address: str, signed: Signed | None = None, *, ca: bytes = b"", certificate: bool = True
    ) -> grpc.Channel:
        """As a client, or as whoever ``signed`` is of."""
        shown = signed or self.client
        pair = (shown.key, shown.certificate) if certificate else (None, None)
        credentials = grpc.ssl_channel_credentials(ca or self.authority.certificate, *pair)
        options = [("grpc.ssl_target_name_override", server_name(DEFAULT_DOMAIN))]
        return grpc.secure_channel(address, credentials, options=options)

    def logs(self) -> str:
        """Everything that the programs said."""
        return "".join(path.read_text() for path in sorted(self.directory.glob("*.log")))

    def kill(self) -> None:
        for process in (self.router, self.replica, self.primary, self.coordinator):
            process.kill()


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


def served_certificate(cluster: SecuredCluster, address: str) -> bytes:
    """What a new connection is shown."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(cluster.tls_of("client") / "tls.crt", cluster.tls_of("client") / "tls.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=server_name(DEFAULT_DOMAIN)) as secure,
    ):
        found: Any = secure.getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found


def scrape(secured: SecuredCluster, address: str, token: str | None) -> tuple[int, str]:
    context = ssl.create_default_context(cadata=secured.authority.certificate.decode())
    context.load_cert_chain(secured.tls_of("client") / "tls.crt", secured.tls_of("client") / "tls.key")
    headers = {} if token is None else dict(bearer(token))
    request = urllib.request.Request(f"https://{address}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics_addresses(secured: SecuredCluster) -> list[str]:
    with secured.channel(secured.coordinator.address) as channel:
        stub = cluster_pb2_grpc.CoordinationStub(channel)
        status = stub.GetClusterStatus(
            cluster_pb2.GetClusterStatusRequest(), metadata=bearer(secured.secrets["monitor"]), timeout=10
        )
    shard = status.shards[0]
    members = [shard.primary, *shard.replicas, *status.routers]
    of_members = [member.member.metrics_address for member in members]
    return [status.metrics_address, *filter(None, of_members)]
