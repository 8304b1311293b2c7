"""Calls to the coordinator that leads, through the API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from aidb.cli.exits import Exit, Failure
from aidb.security.names import DEFAULT_DOMAIN, server_name
from aidb.v1 import cluster_pb2_grpc as rpc
from aidb_operator import names
from aidb_operator.coordinator import Credentials, credentials_of
from aidb_operator.kubectl.forward import forwarded
from aidb_operator.kubectl.place import Place
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import COORDINATOR_PORT, Names

TIMEOUT_SECONDS = 15.0


class Coordinator:
    """`call` raises Failure."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._stub = rpc.CoordinationStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=TIMEOUT_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            code = Exit.UNAVAILABLE if error.code() is grpc.StatusCode.UNAVAILABLE else Exit.ERROR
            raise Failure(f"the coordinator refused {method}: {error.details()}", code) from error


@contextmanager
def coordinator(place: Place, cluster: Raw) -> Iterator[Coordinator]:
    """Raises Failure when none leads."""
    name = cluster["metadata"]["name"]
    selector = f"{names.CLUSTER}={name},{names.LEADER}=true"
    pods = [one for one in place.all(kinds.POD, selector) if "deletionTimestamp" not in one["metadata"]]
    if not pods:
        raise Failure(f"no coordinator of {name} leads: see kubectl aidb status", Exit.UNAVAILABLE)
    newest = max(pods, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
    secured = cluster.get("spec", {}).get("security", {}).get("tls", {}).get("enabled", True)
    secret = place.get(kinds.SECRET, Names(name).client_tls) if secured else None
    try:
        credentials = credentials_of(secret)
    except ValueError as error:
        raise Failure(str(error)) from error
    pod = newest["metadata"]["name"]
    with (
        forwarded(place.client, place.namespace, pod, COORDINATOR_PORT) as address,
        _channel(address, credentials) as channel,
    ):
        yield Coordinator(channel, "" if credentials is None else credentials.token)


def _channel(address: str, credentials: Credentials | None) -> grpc.Channel:
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    options.append(("grpc.max_receive_message_length", 64 << 20))
    if credentials is None:
        return grpc.insecure_channel(address, options=options)
    secure = grpc.ssl_channel_credentials(credentials.ca, credentials.key, credentials.certificate)
    options.append(("grpc.ssl_target_name_override", server_name(DEFAULT_DOMAIN)))
    return grpc.secure_channel(address, secure, options=options)
