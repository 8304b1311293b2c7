"""gRPC channels as this client needs them, and what their errors say. Shared by both clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import grpc

from aidb.errors import TRAILER
from aidb.failure import Failure, failure_of_status
from aidb.options import Pool

if TYPE_CHECKING:
    from aidb.security.client import Secured

MAX_MESSAGE = 72 << 20  # a batch of 32 MiB or a value of 16 MiB, with room for keys and framing

Options = list[tuple[str, int]]
Metadata = tuple[tuple[str, str], ...]

_COMMON: Options = [
    ("grpc.enable_retries", 0),  # only the table in policy.py retries (V6)
    ("grpc.enable_http_proxy", 0),  # members are named by the topology, not by the environment
    ("grpc.use_local_subchannel_pool", 1),  # else all channels to an address share one connection
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 2000),  # how long connecting may take
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
]


def storage_options(pool: Pool) -> Options:
    """For requests: a connection whose peer vanished is noticed by unanswered probes."""
    return [
        *_COMMON,
        ("grpc.keepalive_time_ms", round(pool.keepalive * 1000)),
        ("grpc.keepalive_timeout_ms", round(pool.keepalive_timeout * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def discovery_options() -> Options:
    """For the topology's stream: no probes (servers on grpc-core refuse them often); it is reopened each
    minute.
    """
    return list(_COMMON)


def open_channel(address: str, options: Options, secured: Secured | None) -> grpc.Channel:
    if secured is None:
        return grpc.insecure_channel(address, options=options)
    return secured.channel(address, options)


def open_aio_channel(address: str, options: Options, secured: Secured | None) -> grpc.aio.Channel:
    if secured is None:
        return grpc.aio.insecure_channel(address, options=options)
    return secured.aio_channel(address, options)


def metadata_of(secured: Secured | None) -> Metadata | None:
    """What every call carries."""
    return None if secured is None else secured.metadata


def trailer_of(metadata: Iterable[tuple[str, Any]] | None) -> bytes | None:
    """The error trailer among trailing metadata."""
    for key, value in metadata or ():
        if key == TRAILER:
            return bytes(value)
    return None


def failure_of(error: Any, address: str, shard: int | None = None) -> Failure:
    """What an RpcError (or a finished call, which has the same methods) says about the request."""
    code = error.code()
    return failure_of_status(
        code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN",
        error.details() or "",
        trailer_of(error.trailing_metadata()),
        address,
        shard,
    )
