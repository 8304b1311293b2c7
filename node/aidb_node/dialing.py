"""Channels to other programs of the cluster, which know this one by its certificate."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from aidb.channels import discovery_options, open_channel
from aidb.options import Tls
from aidb.security.client import Secured
from aidb_node.config import Settings

# A coordinator whose machine has vanished closes nothing, and behind a Service the connection stays his: it
# is given up when a probe is not answered. Its server allows one each second.
_KEEPALIVE_MS = 5_000


def channel_to(
    settings: Settings, address: str, options: Sequence[tuple[str, int]] | None = None
) -> grpc.Channel:
    """`options`: of gRPC; without them those for the coordinator."""
    tls = None if settings.tls is None else Tls(settings.tls, domain=settings.tls_domain)
    chosen = coordinator_options() if options is None else list(options)
    return open_channel(address, chosen, Secured.of(tls))


def coordinator_options() -> list[tuple[str, int]]:
    return [
        *discovery_options(),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
