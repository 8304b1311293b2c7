"""Clients that do not speak the protocol, or begin it and lie."""

from __future__ import annotations

import random
import socket

from tests.abuse.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_headers,
    connect,
    frame,
    literal,
    message,
)

METHOD = "/aidb.v1.Storage/Put"


def anything(rng: random.Random) -> bytes:
    """What one connection sends."""
    return rng.choice((_noise, _protocols, _frames, _calls))(rng)


def pester(address: str, rng: random.Random, count: int) -> list[socket.socket]:
    """``count`` connections that sent garbage and stay open."""
    held = []
    for _ in range(count):
        connection = connect(address)
        try:
            connection.sendall(anything(rng))
        except ConnectionError:
            connection.close()
            continue
        held.append(connection)
    return held


def _noise(rng: random.Random) -> bytes:
    beginning = rng.choice((b"", PREFACE, PREFACE + frame(SETTINGS, 0, 0)))
    return beginning + rng.randbytes(rng.randrange(1, 5000))


def _protocols(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /" + b"a" * 100_000,
            b"GET / HTTP/1.1\r\n" + b"X-Header: %s\r\n" % rng.randbytes(50).hex().encode() * 500,
            b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx",
            b"\x16\x03\x01" + rng.randbytes(200),
            b"*1\r\n$4\r\nPING\r\n",
            PREFACE[: rng.randrange(len(PREFACE))],
            PREFACE,
        )
    )


def _frames(rng: random.Random) -> bytes:
    """Frames that lie about their length or belong nowhere."""
    frames = (
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + rng.randbytes(100),
        frame(
            rng.randrange(256), rng.randrange(256), rng.randrange(1 << 31), rng.randbytes(rng.randrange(99))
        ),
        frame(DATA, 0, 1, b"x"),
        frame(SETTINGS, 0, 0, rng.randbytes(6 * rng.randrange(20))),
        frame(HEADERS, END_HEADERS, 2, call_headers(METHOD)),
        frame(HEADERS, END_HEADERS, 1, rng.randbytes(50)),
    )
    return PREFACE + frame(SETTINGS, 0, 0) + b"".join(rng.choices(frames, k=3))


def _calls(rng: random.Random) -> bytes:
    """gRPC that is none: messages of another length than they say, flags that there are not, odd headers."""
    headers = rng.choice(
        (
            call_headers(METHOD),
            call_headers("/aidb.v1.Storage/Nothing"),
            call_headers("/" + "x" * 5000),
            call_headers(METHOD, ((b"grpc-timeout", b"99999999H"), (b"grpc-encoding", b"gzip"))),
            call_headers(METHOD, ((b"grpc-timeout", rng.randbytes(9)),)),
            call_headers(METHOD, ((b"aidb-error-bin", rng.randbytes(99)),)),
            literal(b":method", b"GET") + literal(b":path", b"/"),
        )
    )
    data = rng.choice(
        (
            message(b"", length=rng.choice((1, 1 << 20, 41 << 20, 1 << 31, (1 << 32) - 1))),
            message(rng.randbytes(99), length=rng.randrange(99)),
            message(rng.randbytes(99), flags=rng.randrange(1, 256)),
            message(rng.randbytes(99)),
            rng.randbytes(rng.randrange(1, 99)),
            b"",
        )
    )
    body = frame(DATA, rng.choice((0, END_STREAM)), 1, data)
    return PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, headers) + body
