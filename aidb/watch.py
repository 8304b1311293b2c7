"""The thread that keeps a synchronous client's topology fresh."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import grpc

from aidb.channels import discovery_options, failure_of, metadata_of, open_channel
from aidb.failure import Failure
from aidb.routing import Routing
from aidb.security.client import Secured
from aidb.sources import ANSWER_WITHIN, Sources
from aidb.topology import View
from aidb.v1 import cluster_pb2, cluster_pb2_grpc

log = logging.getLogger("aidb")


class Watcher:
    """Asks a source for its view, then streams changes from it, then goes to the next source.

    The thread knows nothing of the client, so that a client that is dropped can be collected. ``_state``
    guards the flags and the stream; it is never held during I/O.
    """

    def __init__(
        self, routing: Routing, sources: Sources, adopted: Callable[[], None], secured: Secured | None = None
    ) -> None:
        self._routing = routing
        self._secured = secured
        self._sources = sources
        self._adopted = adopted
        self._state = threading.Condition()
        self._closing = False
        self._poked = False
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="aidb-topology", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the thread. Idempotent."""
        with self._state:
            self._closing = True
            self._state.notify_all()
            stream = self._stream
        if stream is not None:
            stream.cancel()
        self._thread.join(timeout=ANSWER_WITHIN + 1.0)

    def poke(self) -> None:
        """The topology seems too old: ask another source. Returns at once."""
        with self._state:
            self._poked = True
            stream = self._stream
        if stream is not None:
            stream.cancel()

    def wait_newer(self, view: View, seconds: float) -> None:
        """Wait until there is another view than ``view``, the time is up, or the watcher is closed."""
        with self._state:
            self._state.wait_for(lambda: self._closing or self._routing.view is not view, timeout=seconds)

    def wait_first(self, seconds: float) -> bool:
        """Wait for the first view; False when the time is up or the cluster is not there."""
        with self._state:
            self._state.wait_for(
                lambda: self._routing.view.version or self._sources.hopeless(self._routing.clock()),
                timeout=seconds,
            )
            return self._routing.view.version > 0

    def sleep(self, seconds: float) -> None:
        """Wait, unless the watcher is closed meanwhile."""
        with self._state:
            self._state.wait_for(lambda: self._closing, timeout=seconds)

    def _run(self) -> None:
        clock = self._routing.clock
        while not self._closing:
            started = clock()
            address = self._sources.current(self._routing.view)
            failure = self._follow(address)
            with self._state:
                poked, self._poked = self._poked, False
                if self._closing:
                    return
                rest = self._sources.ended(failure, poked, clock() - started, clock())
                self._state.notify_all()
                self._state.wait_for(lambda: self._closing, timeout=rest)

    def _follow(self, address: str) -> Failure | None:
        """Adopt what a source says until it ends; why it ended, None when it just did."""
        channel = open_channel(address, discovery_options(), self._secured)
        metadata = metadata_of(self._secured)
        try:
            stub = cluster_pb2_grpc.DiscoveryStub(channel)
            request = cluster_pb2.GetTopologyRequest()
            self._adopt(stub.GetTopology(request, timeout=ANSWER_WITHIN, metadata=metadata))
            stream = stub.WatchTopology(request, timeout=self._sources.lifetime(), metadata=metadata)
            with self._state:
                if self._closing:
                    return None
                self._poked = False  # the view above is as new as any poke so far asked for
                self._stream = stream
            for message in stream:
                self._adopt(message)
            return None
        except grpc.RpcError as error:
            return failure_of(error, address)
        except ValueError as error:
            log.warning("topology of %s cannot be read: %s", address, error)
            return None
        finally:
            with self._state:
                self._stream = None
            channel.close()

    def _adopt(self, message: cluster_pb2.ClusterView) -> None:
        self._sources.answered()
        if self._routing.adopt(View.of(message)):
            self._adopted()
            with self._state:
                self._state.notify_all()
