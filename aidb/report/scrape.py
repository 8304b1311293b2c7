"""`/metrics` of a program, as Prometheus would get it."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

from aidb.options import Tls
from aidb.security.names import server_name

_MOST_BYTES = 16 << 20


class NoMetrics(Exception):
    """Why there are none."""


def scrape(address: str, tls: Tls | None, seconds: float) -> str:
    """``address``: HOST:PORT. Raises NoMetrics."""
    host, _, port = address.rpartition(":")
    headers = {} if tls is None else {"authorization": f"Bearer {_token(tls)}"}
    try:
        connection = _connection(host.strip("[]"), int(port), tls, seconds)
        try:
            connection.request("GET", "/metrics", headers=headers)
            answer = connection.getresponse()
            body = answer.read(_MOST_BYTES)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoMetrics(str(error) or type(error).__name__) from error
    if answer.status != 200:
        raise NoMetrics(f"HTTP {answer.status} {answer.reason}")
    return body.decode(errors="replace")


def _connection(host: str, port: int, tls: Tls | None, seconds: float) -> http.client.HTTPConnection:
    if tls is None:
        return http.client.HTTPConnection(host, port, timeout=seconds)
    directory = Path(tls.directory)
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return _Named(host, port, context, server_name(tls.domain), seconds)


class _Named(http.client.HTTPSConnection):
    """Programs' certificates have names of their own, whatever the address."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, name: str, seconds: float) -> None:
        super().__init__(host, port, context=context, timeout=seconds)
        self._tls, self._name = context, name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _token(tls: Tls) -> str:
    return tls.token if tls.token_file is None else Path(tls.token_file).read_text().strip()
