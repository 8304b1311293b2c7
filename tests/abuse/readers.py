"""Clients that ask for much and read nothing, or hardly anything."""

from __future__ import annotations

import random
from collections.abc import Callable

from aidb.v1 import cluster_pb2 as discovery
from aidb.v1 import replication_pb2 as replication
from aidb.v1 import storage_pb2 as storage
from tests.abuse.http2 import DATA, Connection, frame, message
from tests.abuse.targets import Cluster
from tests.node.process import put

LARGE, LARGE_BYTES = 16, 2 << 20
KEYS = [b"large-%d" % number for number in range(LARGE)]
HELD_BACK_SECONDS = 1.0
SUBSCRIBE = "/aidb.v1.Replication/Subscribe"

Ask = Callable[[Connection], int]


def prepare(cluster: Cluster) -> None:
    """Values whose batch fills an answer."""
    for key in KEYS:
        put(cluster.nodes["primary"], key, random.randbytes(LARGE_BYTES))


def batch(connection: Connection) -> int:
    """An answer of 32 MiB to a question of 200 bytes."""
    return connection.call(
        "/aidb.v1.Storage/BatchGet", storage.BatchGetRequest(keys=KEYS).SerializeToString()
    )


def get(connection: Connection) -> int:
    """One of 2 MiB."""
    return connection.call("/aidb.v1.Storage/Get", storage.GetRequest(key=KEYS[0]).SerializeToString())


def scan(connection: Connection) -> int:
    """All there is, in large chunks."""
    request = storage.ScanRequest(chunk_bytes=(1 << 32) - 1)
    return connection.call("/aidb.v1.Storage/Scan", request.SerializeToString())


def pipeline(connection: Connection) -> int:
    """Batches without end on one stream."""
    stream = connection.open("/aidb.v1.Storage/Pipeline")
    for number in range(64):
        request = storage.PipelineRequest(id=number, batch_get=storage.BatchGetRequest(keys=KEYS))
        connection.send(frame(DATA, 0, stream, message(request.SerializeToString())))
    return stream


def watch(connection: Connection) -> int:
    """Every change of the topology."""
    return connection.call(
        "/aidb.v1.Discovery/WatchTopology", discovery.GetTopologyRequest().SerializeToString()
    )


def topology(connection: Connection) -> int:
    """The topology once."""
    return connection.call(
        "/aidb.v1.Discovery/GetTopology", discovery.GetTopologyRequest().SerializeToString()
    )


def subscribe(connection: Connection) -> int:
    """The primary's records, values included."""
    hello = replication.SubscribeRequest.Hello(name="nobody", update_bytes=1 << 30)
    stream = connection.open(SUBSCRIBE)
    request = replication.SubscribeRequest(hello=hello).SerializeToString()
    connection.send(frame(DATA, 0, stream, message(request)))
    return stream


def health(connection: Connection) -> int:
    """Every change of health."""
    return connection.call("/grpc.health.v1.Health/Watch", b"")


NODES: tuple[Ask, ...] = (batch, get, scan, pipeline, watch, health)
OF: dict[str, tuple[Ask, ...]] = {
    "primary": (*NODES, subscribe),
    "replica": NODES,
    "router": NODES,
    "coordinator": (watch, topology, health),
}


def unread(address: str, ask: Ask, streams: int, window: int) -> Connection:
    """``streams`` questions on a connection that takes ``window`` bytes of each answer and no more."""
    connection = Connection(address, window)
    connection.socket.settimeout(HELD_BACK_SECONDS)
    try:
        for _ in range(streams):
            ask(connection)
    except (TimeoutError, ConnectionError):
        pass
    return connection


def sip(connection: Connection) -> int:
    """Reads a few bytes of whatever there is; how many."""
    connection.socket.setblocking(False)
    try:
        return len(connection.socket.recv(16))
    except OSError:
        return 0
