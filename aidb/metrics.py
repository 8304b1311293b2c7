"""`/metrics` of a program, for Prometheus: HTTP on a port of its own.

Figures are gathered, from what the program counts anyway, when they are asked for; no request waits for that.
Connections are few and short: beyond `MOST` the oldest gives way, and none lives longer than
`LONGEST_SECONDS`, whatever its client does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.registry import Collector

MOST = 16
LONGEST_SECONDS = 10.0
# How long the end may wait for the listener to notice.
_POLL = 0.1


class MetricsAddressError(ValueError):
    """The address cannot be listened on; the message says why and what to do."""


class MetricsServer:
    """Listens from its construction on; `close` ends it. ``listen``: HOST:PORT, port 0 picks a free one.

    Raises:
        MetricsAddressError
    """

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._registry = CollectorRegistry()
        handler: Any = MetricsHandler.factory(self._registry)
        try:
            self._server = _BoundedServer((host.strip("[]"), int(port)), handler)
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
