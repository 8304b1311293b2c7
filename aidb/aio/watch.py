"""The task that keeps an asyncio client's topology fresh. The same course as `aidb.watch`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from aidb.channels import discovery_options, failure_of, metadata_of, open_aio_channel
from aidb.failure import Failure
from aidb.routing import Routing
from aidb.security.client import Secured
from aidb.sources import ANSWER_WITHIN, Sources
from aidb.topology import View
from aidb.v1 import cluster_pb2, cluster_pb2_grpc

log = logging.getLogger("aidb")


class AsyncWatcher:
    """Asks a source for its view, then streams changes from it, then goes to the next source."""

    def __init__(
        self,
        routing: Routing,
        sources: Sources,
        adopted: Callable[[], Awaitable[None]],
        secured: Secured | None = None,
    ) -> None:
        self._routing = routing
        self._secured = secured
        self._sources = sources
        self._adopted = adopted
        self._changed = asyncio.Condition()
        self._poked = False
        self._stream: Any = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="aidb-topology")

    async def close(self) -> None:
        """Stop, and wait for the task. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def poke(self) -> None:
        """The topology seems too old: ask another source. Returns at once."""
        self._poked = True
        if self._stream is not None:
            self._stream.cancel()

    async def wait_newer(self, view: View, seconds: float) -> None:
        """Wait until there is another view than ``view``, or the time is up."""
        await self._wait(lambda: self._routing.view is not view, seconds)

    async def wait_first(self, seconds: float) -> bool:
        """Wait for the first view; False when the time is up or the cluster is not there."""
        routing = self._routing
        await self._wait(
            lambda: routing.view.version > 0 or self._sources.hopeless(routing.clock()),
            seconds,
        )
        return routing.view.version > 0

    async def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _run(self) -> None:
        clock = self._routing.clock
        while True:
            started = clock()
            failure = await self._follow(self._sources.current(self._routing.view))
            poked, self._poked = self._poked, False
            rest = self._sources.ended(failure, poked, clock() - started, clock())
            await self._notify()
            await asyncio.sleep(rest)

    async def _follow(self, address: str) -> Failure | None:
        """Adopt what a source says until it ends; why it ended, None when it just did."""
        metadata = metadata_of(self._secured)
        async with open_aio_channel(address, discovery_options(), self._secured) as channel:
            stub: Any = cluster_pb2_grpc.DiscoveryStub(channel)
            request = cluster_pb2.GetTopologyRequest()
            try:
                await self._adopt(await stub.GetTopology(request, timeout=ANSWER_WITHIN, metadata=metadata))
                self._poked = False  # the view above is as new as any poke so far asked for
                self._stream = stub.WatchTopology(
                    request, timeout=self._sources.lifetime(), metadata=metadata
                )
                async for message in self._stream:
                    await self._adopt(message)
                return None
            except grpc.aio.AioRpcError as error:
                return failure_of(error, address)
            except asyncio.CancelledError:
                if self._poked and not self._cancelled():
                    return None
                raise
            except ValueError as error:
                log.warning("topology of %s cannot be read: %s", address, error)
                return None
            finally:
                self._stream = None

    @staticmethod
    def _cancelled() -> bool:
        """The task itself is cancelled, not just the stream (grpc raises CancelledError for both)."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _adopt(self, message: cluster_pb2.ClusterView) -> None:
        self._sources.answered()
        if self._routing.adopt(View.of(message)):
            await self._adopted()
            await self._notify()
