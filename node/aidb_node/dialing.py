"""Channels to other programs of the cluster, which know this one by its certificate."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from aidb.channels import discovery_options, open_channel
from aidb.options import Tls
from aidb.security.client import Secured
from aidb_node.config import Settings


def channel_to(
    settings: Settings, address: str, options: Sequence[tuple[str, int]] | None = None
) -> grpc.Channel:
    """`options`: of gRPC; without them those of the coordinator's clients."""
    tls = None if settings.tls is None else Tls(settings.tls, domain=settings.tls_domain)
    chosen = discovery_options() if options is None else list(options)
    return open_channel(address, chosen, Secured.of(tls))
