"""Calls to the coordinator that leads, at its pod's address. What it answers is part of what is observed."""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc

from aidb.security.names import DEFAULT_DOMAIN, server_name
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from aidb_operator.apply import CallError
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.kubernetes.store import ClusterKey
from aidb_operator.names import COORDINATOR_PORT, Names
from aidb_operator.observed import Coordination, Observed

log = logging.getLogger("aidb.operator")

TIMEOUT_SECONDS = 3.0
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of a client with the role admin."""

    ca: bytes
    certificate: bytes
    key: bytes
    token: str


@dataclass(frozen=True, slots=True)
class _Channel:
    address: str
    credentials: Credentials | None
    channel: grpc.Channel


class Leader:
    """The coordinator of one cluster during one turn. `channel` is None when none leads."""

    def __init__(self, channel: grpc.Channel | None, why: str, token: str) -> None:
        self._stub = None if channel is None else rpc.CoordinationStub(channel)
        self._why = why
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def asked(self, observed: Observed, scaling: bool = False) -> Observed:
        """With its status and operations, and what the autoscaler recommends if `scaling`, or with the reason
        why they are not known.
        """
        try:
            status = self.call("GetClusterStatus", pb.GetClusterStatusRequest())
            operations = self.call("ListOperations", pb.ListOperationsRequest())
            recommended = self.call("GetScaling", pb.GetScalingRequest()) if scaling else None
        except CallError as error:
            return replace(observed, coordination=None, silence=str(error))
        return replace(observed, coordination=Coordination(status, tuple(operations.operations), recommended))

    def call(self, method: str, request: Any) -> Any:
        """Raises CallError."""
        if self._stub is None:
            raise CallError(f"cannot call {method}: {self._why}")
        try:
            return getattr(self._stub, method)(request, timeout=TIMEOUT_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            details = error.details() or error.code().name
            raise CallError(f"the coordinator refused {method}: {details}") from error


class Coordinators:
    """Keeps a channel for each cluster. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: dict[ClusterKey, _Channel] = {}

    def of(self, key: ClusterKey, observed: Observed) -> Leader:
        pod = observed.leader
        if pod is None:
            return Leader(None, "no coordinator leads", "")
        try:
            credentials = credentials_of(observed.get(kinds.SECRET, Names(key.name).client_tls))
        except ValueError as error:
            return Leader(None, str(error), "")
        address = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        channel = self._channel(key, f"{address}:{COORDINATOR_PORT}", credentials)
        return Leader(channel, "", "" if credentials is None else credentials.token)

    def forget(self, key: ClusterKey) -> None:
        with self._lock:
            known = self._channels.pop(key, None)
        if known is not None:
            known.channel.close()

    def close(self) -> None:
        for key in list(self._channels):
            self.forget(key)

    def _channel(self, key: ClusterKey, address: str, credentials: Credentials | None) -> grpc.Channel:
        with self._lock:
            known = self._channels.get(key)
            if known is not None and (known.address, known.credentials) == (address, credentials):
                return known.channel
            made = _Channel(address, credentials, _open(address, credentials))
            self._channels[key] = made
        if known is not None:
            known.channel.close()
        return made.channel


def _open(address: str, credentials: Credentials | None) -> grpc.Channel:
    if credentials is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    secure = grpc.ssl_channel_credentials(credentials.ca, credentials.key, credentials.certificate)
    named = ("grpc.ssl_target_name_override", server_name(DEFAULT_DOMAIN))
    return grpc.secure_channel(address, secure, options=(*_OPTIONS, named))


def credentials_of(secret: Raw | None) -> Credentials | None:
    """None where there is no such secret: the cluster is not secured. Raises ValueError."""
    if secret is None:
        return None
    data: Mapping[str, str] = secret.get("data") or {}
    try:
        found = {
            name: base64.b64decode(data[name], validate=True)
            for name in ("ca.crt", "tls.crt", "tls.key", "token")
        }
    except (KeyError, binascii.Error) as error:
        name = secret["metadata"]["name"]
        raise ValueError(f"Secret {name} lacks ca.crt, tls.crt, tls.key or token: {error}") from error
    token = found["token"].decode().strip()
    return Credentials(found["ca.crt"], found["tls.crt"], found["tls.key"], token)
