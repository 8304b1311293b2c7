"""`/metrics` of a program, for Prometheus: HTTP on a port of its own.

Figures are gathered, from what the program counts anyway, when they are asked for; no request waits for that.
Connections are few and short: beyond `MOST` the oldest gives way, and none lives longer than
`LONGEST_SECONDS`, whatever its client does. Where security is on it is HTTPS, for clients with a certificate
and a token for `monitor` or more.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.registry import Collector

from aidb.errors import SecurityError, Unauthenticated

if TYPE_CHECKING:
    from aidb.security.server import ServerSecurity

MOST = 16
LONGEST_SECONDS = 10.0
# How long the end may wait for the listener to notice.
_POLL = 0.1
_HANDSHAKE_RECORD = b"\x16"  # the first byte of every TLS connection
# To who comes without TLS; others are told by TLS itself.
_SECURE_HERE = (
    b"HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n"
    b"this port speaks HTTPS, to clients with a certificate of the cluster's authority\n"
)


# HTTP status and text.
Page = Callable[[], tuple[int, str]]


class MetricsAddressError(ValueError):
    """The address cannot be listened on; the message says why and what to do."""


class MetricsServer:
    """Listens from its construction on; `close` ends it. ``listen``: HOST:PORT, port 0 picks a free one.
    ``pages``: by path, what is answered beside the figures.

    Raises:
        MetricsAddressError
    """

    def __init__(
        self, listen: str, security: ServerSecurity | None = None, pages: Mapping[str, Page] | None = None
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._registry = CollectorRegistry()
        handler: Any = MetricsHandler.factory(self._registry)
        if pages:
            handler = _with_pages(handler, pages)
        address = host.strip("[]")
        try:
            if security is None:
                self._server = _BoundedServer((address, int(port)), handler)
            else:
                handler = _guarded(handler, security)
                self._server = _SecureServer((address, int(port)), handler, security)
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MetricsAddressError(
                f"cannot serve metrics on {listen}: {reason}; name a free HOST:PORT with --metrics"
            ) from error
        self.address = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="metrics", daemon=True
        )
        self._thread.start()

    def register(self, collector: Collector) -> None:
        """Its figures are served from now on."""
        self._registry.register(collector)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _BoundedServer(ThreadingHTTPServer):
    """A thread for each connection, `MOST` of them. A thread ends when its socket is shut down.

    That the oldest gives way, and not the newest, lets a scrape through among clients that only hold on.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._lock = threading.Lock()
        self._room = threading.Semaphore(MOST)
        # By age, with the time at which each has to be over.
        self._open: dict[Any, float] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= MOST:
                self._end(next(iter(self._open)))
        # The thread of the one that gave way is about to end.
        self._room.acquire()
        with self._lock:
            self._open[request] = time.monotonic() + LONGEST_SECONDS
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        now = time.monotonic()
        with self._lock:
            for request in [request for request, end in self._open.items() if end < now]:
                self._end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is cut off, or goes away, is no event."""

    def _end(self, request: Any) -> None:
        self._open.pop(request, None)
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class _SecureServer(_BoundedServer):
    """Greets in the connection's own thread: a client that is slow with its handshake keeps nobody
    waiting.
    """

    def __init__(self, address: tuple[str, int], handler: Any, security: ServerSecurity) -> None:
        self._material = security.material
        self._context = self._material.context()
        self._security = security
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if request.recv(1, socket.MSG_PEEK) != _HANDSHAKE_RECORD:
                request.sendall(_SECURE_HERE)
                return
            # A second descriptor: TLS takes one over, and the first is what cuts a slow client off.
            with self._present().wrap_socket(request.dup(), server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError:
            return  # refused: TLS has told the client why

    def _present(self) -> ssl.SSLContext:
        """For the newest certificate. Two threads that both make it make the same."""
        material = self._security.material
        if material is not self._material:
            self._material, self._context = material, material.context()
        return self._context


def _with_pages(handler: Any, pages: Mapping[str, Page]) -> Any:
    """``handler`` for all other paths."""

    class WithPages(handler):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                super().do_GET()
                return
            status, text = page()
            body = text.encode() + b"\n"
            self.send_response(status)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return WithPages


def _guarded(handler: Any, security: ServerSecurity) -> Any:
    """``handler`` for those who may see figures."""
    from aidb.security.access import judge
    from aidb.security.names import is_program
    from aidb.v1 import access_pb2

    class Guarded(handler):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802
            certificate = self.connection.getpeercert() or {}
            names = frozenset(name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")
            try:
                judge(
                    "/metrics",
                    access_pb2.ACCESS_MONITOR,
                    program=is_program(names, security.domain),
                    authorization=self.headers.get("authorization", ""),
                    tokens=security.tokens,
                )
            except SecurityError as error:
                self.send_error(401 if isinstance(error, Unauthenticated) else 403, explain=error.message)
                return
            super().do_GET()

    return Guarded
