"""What is no gRPC, or is never finished, harms nobody else: every port goes on serving, without growing."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CONNECTIONS = 200
GROWTH = 48 << 20


@pytest.fixture(scope="module")
def programs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[CoordinatorProcess, list[NodeProcess]]]:
    """A coordinator, a primary, a replica and a router."""
    data = tmp_path_factory.mktemp("garbage")
    coordinator = CoordinatorProcess(data / "coordinator", "--shards", "1", *FAST)
    nodes = [
        NodeProcess(coordinator.address, data / role, role=role, name=f"{role}-0").ready()
        for role in ("primary", "replica", "router")
    ]
    yield coordinator, nodes
    for node in nodes:
        node.kill()
    coordinator.kill()


def garbage(rng: random.Random) -> bytes:
    """Noise, another protocol, a frame that lies about its length, or the beginning of a connection."""
    return rng.choice(
        [
            rng.randbytes(rng.randrange(1, 5000)),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01" + rng.randbytes(200),
            PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + rng.randbytes(100),
            PREFACE + rng.randbytes(500),
            PREFACE[: rng.randrange(len(PREFACE))],
            PREFACE,
        ]
    )


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def serves(node: NodeProcess) -> bool:
    return get(node, b"k").value == b"v"


def pester(address: str, rng: random.Random) -> list[socket.socket]:
    """Connections that sent garbage and stay open."""
    host, _, port = address.rpartition(":")
    held = []
    for _ in range(CONNECTIONS):
        connection = socket.create_connection((host, int(port)), timeout=5)
        with contextlib.suppress(OSError):
            connection.sendall(garbage(rng))
        held.append(connection)
    return held


def test_every_port_goes_on_serving(programs: tuple[CoordinatorProcess, list[NodeProcess]]) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    coordinator, nodes = programs
    put(nodes[0], b"k", b"v")
    before = [resident(node.process.pid) for node in nodes]
    held = [connection for node in nodes for connection in pester(node.address, rng)]
    held += pester(coordinator.address, rng)
    try:
        for node in nodes:
            until(partial(serves, node))
        assert coordinator.status().shards
    finally:
        for connection in held:
            connection.close()
    for node, bytes_before in zip(nodes, before, strict=True):
        assert node.process.poll() is None
        assert serves(node)
        assert resident(node.process.pid) < bytes_before + GROWTH
    assert coordinator.status().shards
