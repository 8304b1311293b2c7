"""How a client connects where security is on: channels of what `Tls` names, and of what it changes to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from aidb.errors import InvalidArgument
from aidb.options import Tls
from aidb.security.material import BadMaterial, Material
from aidb.security.names import server_name
from aidb.security.watch import Watched
from aidb.tracing.calling import Calling
from aidb.tracing.provided import tracer

log = logging.getLogger("aidb")

POLL_SECONDS = 1.0

Options = Sequence[tuple[str, int]]
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Held:
    credentials: grpc.ChannelCredentials
    metadata: Metadata


class Secured:
    """What a client shows and trusts. Thread-safe.

    Raises:
        InvalidArgument: the files cannot be used.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._looking = threading.Lock()
        self._next_look = time.monotonic() + POLL_SECONDS
        try:
            self._watched = Watched(self._read, _held)
        except (BadMaterial, OSError) as error:
            raise InvalidArgument(
                f"cannot connect with the TLS directory {tls.directory}: {error}"
            ) from error

    @classmethod
    def of(cls, tls: Tls | None) -> Secured | None:
        return None if tls is None else cls(tls)

    @property
    def metadata(self) -> Metadata:
        """Of every call."""
        return self._watched.value.metadata

    def channel(self, address: str, options: Options) -> grpc.Channel:
        return grpc.secure_channel(address, self._watched.value.credentials, options=self._named(options))

    def aio_channel(self, address: str, options: Options) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(address, self._watched.value.credentials, options=self._named(options))

    def renewed(self) -> bool:
        """True when channels made so far are to be replaced. Looks each second, however often it is asked."""
        if time.monotonic() < self._next_look or not self._looking.acquire(blocking=False):
            return False
        try:
            self._next_look = time.monotonic() + POLL_SECONDS
            failures = self._watched.failures
            renewed = self._watched.poll()
            if self._watched.failures > failures:
                log.warning(
                    "%s cannot be used, what was read before stays in use: %s",
                    self._tls.directory,
                    self._watched.problem,
                )
            return renewed
        finally:
            self._looking.release()

    def _named(self, options: Options) -> list[tuple[str, int | str]]:
        return [*options, ("grpc.ssl_target_name_override", server_name(self._tls.domain))]

    def _read(self) -> tuple[Material, str]:
        token = self._tls.token
        if self._tls.token_file is not None:
            token = Path(self._tls.token_file).read_text().strip()
        return Material.read(Path(self._tls.directory)), token


def _held(read: tuple[Material, str]) -> _Held:
    material, token = read[0].checked(), read[1]
    credentials = grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
    return _Held(credentials, (("authorization", f"Bearer {token}"),) if token else ())


class Bearer(grpc.UnaryUnaryClientInterceptor):
    """Adds the metadata to calls of stubs that know nothing of it."""

    def __init__(self, secured: Secured) -> None:
        self._secured = secured

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(_Details(details, self._secured.metadata), request)


class _Details(grpc.ClientCallDetails):
    def __init__(self, given: Any, metadata: Metadata) -> None:
        self.method, self.timeout = given.method, given.timeout
        self.credentials, self.wait_for_ready = given.credentials, given.wait_for_ready
        self.compression = given.compression
        self.metadata = (*(given.metadata or ()), *metadata)


def calling(address: str, options: Options, tls: Tls | None) -> grpc.Channel:
    """A channel for unary calls that carry the token, and their trace if there is one, by themselves. Raises
    InvalidArgument.
    """
    if tls is None:
        channel = grpc.insecure_channel(address, options=options)
    else:
        secured = Secured(tls)
        channel = grpc.intercept_channel(secured.channel(address, options), Bearer(secured))
    return channel if tracer() is None else grpc.intercept_channel(channel, Calling())
