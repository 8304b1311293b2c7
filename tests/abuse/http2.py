"""HTTP/2 by hand: a client that does what no library would."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
FRAME = 16_384
Headers = tuple[tuple[bytes, bytes], ...]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header as HPACK has it that compresses nothing."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    encoded = bytearray([127])
    number -= 127
    while number >= 128:
        encoded.append(number % 128 + 128)
        number //= 128
    return bytes(encoded) + bytes([number])


def call_headers(method: str, more: Headers = ()) -> bytes:
    """Of a gRPC call of `/service/method`."""
    headers = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"aidb"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *more,
    )
    return b"".join(literal(name, value) for name, value in headers)


def message(payload: bytes, length: int | None = None, flags: int = 0) -> bytes:
    """A gRPC message; ``length`` lies about its size."""
    return struct.pack("!BI", flags, len(payload) if length is None else length) + payload


def connect(address: str, timeout: float = 10.0) -> socket.socket:
    """A TCP connection to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


class Connection:
    """Past the preface. ``window``: what the server may send on each stream before it is given more."""

    def __init__(self, address: str, window: int = 65_535) -> None:
        self.socket = connect(address)
        self._next = 1
        settings = struct.pack("!HI", INITIAL_WINDOW_SIZE, window)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data: bytes) -> None:
        """All of it, or OSError."""
        self.socket.sendall(data)

    def open(self, method: str, more: Headers = (), end: bool = False) -> int:
        """A new stream; its number."""
        stream = self._next
        self._next += 2
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(HEADERS, flags, stream, call_headers(method, more)))
        return stream

    def call(self, method: str, payload: bytes, end: bool = True) -> int:
        """A call with its request sent; the stream's number."""
        stream = self.open(method)
        data = message(payload)
        parts = [data[at : at + FRAME] for at in range(0, len(data), FRAME)]
        for part in parts[:-1]:
            self.send(frame(DATA, 0, stream, part))
        self.send(frame(DATA, END_STREAM if end else 0, stream, parts[-1]))
        return stream

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Frames until the server closes: kind, flags, stream, payload. Pings and settings are answered."""
        with contextlib.suppress(ConnectionError):
            while head := self._exactly(9):
                length = int.from_bytes(head[:3], "big")
                kind, flags, stream = struct.unpack("!BBI", head[3:])
                payload = self._exactly(length)
                if kind in (PING, SETTINGS) and not flags & ACK:
                    self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
                yield kind, flags, stream, payload

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                return b""
            data += part
        return data

    def close(self) -> None:
        """At once."""
        self.socket.close()


def ended(connection: socket.socket) -> bool:
    """Whether the server has closed it; what it sent is read away."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
