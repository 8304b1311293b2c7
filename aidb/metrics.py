"""`/metrics` of a program, for Prometheus: HTTP on a port of its own.

Figures are gathered, from what the program counts anyway, when they are asked for; no request waits for that.
A client that sends or reads too slowly is cut off after `SILENCE_SECONDS`.
"""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.registry import Collector

SILENCE_SECONDS = 10.0
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
        handler.timeout = SILENCE_SECONDS
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), handler)
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MetricsAddressError(
                f"cannot serve metrics on {listen}: {reason}; name a free HOST:PORT with --metrics"
            ) from error
        self._server.daemon_threads = True
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
