"""Clients that begin and do not go on, or only byte by byte."""

from __future__ import annotations

import random
import socket

from tests.abuse.http2 import DATA, FRAME, PREFACE, Connection, connect, frame, message

UNARY = (
    "/aidb.v1.Storage/Put",
    "/aidb.v1.Storage/BatchPut",
    "/aidb.v1.Discovery/GetTopology",
    "/aidb.v1.Coordination/Register",
    "/grpc.health.v1.Health/Check",
)
STREAMS = (
    "/aidb.v1.Storage/Pipeline",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
HELD_BACK_SECONDS = 1.0


def preface(address: str, rng: random.Random) -> socket.socket:
    """Part of it, or nothing."""
    connection = connect(address)
    connection.sendall(PREFACE[: rng.randrange(len(PREFACE))])
    return connection


def uploads(address: str, rng: random.Random, streams: int, size: int) -> Connection:
    """``streams`` requests of 40 MiB of which ``size`` bytes come and the end never does."""
    connection = Connection(address)
    connection.socket.settimeout(HELD_BACK_SECONDS)
    try:
        for _ in range(streams):
            stream = connection.open(rng.choice(UNARY + STREAMS))
            data = message(bytes(size), length=40 << 20)
            for at in range(0, len(data), FRAME):
                connection.send(frame(DATA, 0, stream, data[at : at + FRAME]))
    except (TimeoutError, ConnectionError):
        pass
    return connection


def unended(address: str, rng: random.Random, streams: int) -> Connection:
    """Whole messages on streams that are never ended."""
    connection = Connection(address)
    connection.socket.settimeout(HELD_BACK_SECONDS)
    try:
        for _ in range(streams):
            connection.call(rng.choice(UNARY), b"", end=False)
    except (TimeoutError, ConnectionError):
        pass
    return connection


def http(address: str, rng: random.Random) -> socket.socket:
    """The beginning of a scrape."""
    connection = connect(address)
    head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "
    connection.sendall(head[: rng.randrange(len(head))])
    return connection


def drip(connections: list[socket.socket]) -> int:
    """One more byte to each; how many still take it."""
    taken = 0
    for connection in connections:
        try:
            connection.send(b"x")
            taken += 1
        except OSError:
            continue
    return taken
