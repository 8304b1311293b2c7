"""Performs what operations ask for, with asyncio. The same course as `aidb.driver`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import grpc

from aidb.aio.watch import AsyncWatcher
from aidb.attempts import Pause
from aidb.channels import failure_of, metadata_of, open_aio_channel, storage_options
from aidb.commands import Call, CallAll, Command, Emit, FromSpare, Next, Open, Operation, Spare
from aidb.errors import Closed
from aidb.failure import Failure, too_late
from aidb.hedging import Hedging
from aidb.pool import ChannelPool, Lease
from aidb.routing import Routing
from aidb.security.client import Secured
from aidb.sources import Sources, unreachable
from aidb.v1 import storage_pb2_grpc

T = TypeVar("T")


class AsyncConnection:
    """A channel with its stub, and what every call on it carries."""

    def __init__(self, address: str, options: list[tuple[str, int]], secured: Secured | None) -> None:
        self.channel = open_aio_channel(address, options, secured)
        self.metadata = metadata_of(secured)
        self.stub: Any = storage_pb2_grpc.StorageStub(self.channel)


class AsyncDriver:
    """The connections of a client and its watcher. Lives in the event loop that it was started in."""

    def __init__(self, routing: Routing, seeds: Sequence[str], secured: Secured | None = None) -> None:
        self._routing = routing
        self._secured = secured
        self._sources = Sources(seeds, routing.retry, routing.rng, only=bool(routing.through))
        options = storage_options(routing.pool)
        self._pool = ChannelPool(
            lambda address: AsyncConnection(address, options, secured), routing.pool.channels
        )
        self._watcher = AsyncWatcher(routing, self._sources, self._retire, secured)
        self._retiring: set[asyncio.Task[None]] = set()
        self._started = False
        self._closed = False

    async def connect(self, timeout: float) -> None:
        """Start; returns when there is a topology. Idempotent.

        Raises:
            ClusterUnreachable: none within ``timeout`` seconds, or all connections refused for 3 s.
        """
        if self._started:
            return
        self._started = True
        self._watcher.start()
        connected = False
        try:
            connected = await self._watcher.wait_first(timeout)
        finally:
            if not connected:
                await self.close()
        if not connected:
            raise unreachable(self._sources)

    async def close(self) -> None:
        """Stop the watcher and close all connections, with the calls on them. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._watcher.close()
        for connection in self._pool.close():
            await connection.channel.close()
        await asyncio.gather(*self._retiring)

    async def run(self, operation: Operation[T]) -> T:
        """Perform ``operation`` to its end; returns its result or raises its error."""
        try:
            command = next(operation)
            while True:
                command = operation.send(await self.perform(command))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            operation.close()

    async def perform(self, command: Command) -> Any:
        """Do what an operation asks for; returns the answer.

        Raises:
            Closed: the client is closed.
        """
        if self._closed:
            raise Closed("this client is closed")
        match command:
            case Call():
                return await self._call(command)
            case CallAll():
                return await self._call_all(command.calls)
            case Pause():
                return await self._pause(command)
            case Open():
                return AsyncScanStream(self, self._lease(command.address), command)
            case Next():
                assert isinstance(command.stream, AsyncScanStream)
                return await command.stream.next()
            case Emit():
                raise AssertionError("only scans emit")

    async def _call(self, call: Call) -> Any:
        if call.spare is not None and self._routing.hedging is not None:
            return await self._hedged(call, call.spare, self._routing.hedging)
        return await self._alone(call)

    async def _hedged(self, call: Call, spare: Spare, hedging: Hedging) -> Any:
        delay = hedging.began(spare.target)
        began = self._routing.clock()
        first = asyncio.ensure_future(self._alone(call))
        under_way = {first}
        try:
            done, _ = await asyncio.wait(under_way, timeout=delay)
            if not done and hedging.spend():
                under_way.add(asyncio.ensure_future(self._alone(replace(call, address=spare.address))))
            answered: list[asyncio.Task[Any]] = []
            while under_way and not answered:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                answered = [task for task in done if not isinstance(task.result(), Failure)]
            if not answered:
                return first.result()
            hedging.answered(spare.target, self._routing.clock() - began)
            if first in answered:
                return first.result()
            hedging.second_won()
            return FromSpare(answered[0].result())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _alone(self, call: Call) -> Any:
        timeout = call.timeout(self._routing.clock())
        if timeout <= 0:
            return too_late(call.address)
        lease = self._lease(call.address)
        began = self._routing.loads.began(call.address)
        try:
            method = getattr(lease.channel.stub, call.method)
            return await method(call.request, timeout=timeout, metadata=lease.channel.metadata)
        except grpc.aio.AioRpcError as error:
            return failure_of(error, call.address, call.shard)
        finally:
            self._routing.loads.ended(call.address, began, call.method == "Get")
            self.release(lease)

    async def _call_all(self, calls: Sequence[Call]) -> list[Any]:
        free = asyncio.Semaphore(self._routing.pool.workers)

        async def in_turn(call: Call) -> Any:
            async with free:
                return await self._call(call)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _pause(self, pause: Pause) -> None:
        view = self._routing.view
        if pause.refresh:
            self._watcher.poke()
            if pause.seconds:
                await self._watcher.wait_newer(view, pause.seconds)
        elif pause.seconds:
            await asyncio.sleep(pause.seconds)

    def _lease(self, address: str) -> Lease[AsyncConnection]:
        if self._secured is not None and self._secured.renewed():
            for connection in self._pool.retain(frozenset()):
                self._close_later(connection)
        lease = self._pool.acquire(address)
        if lease is None:
            raise Closed("this client is closed")
        return lease

    def release(self, lease: Lease[AsyncConnection]) -> None:
        """Give back a connection. Plain code, so that a cancelled call gives back its own too."""
        retired = self._pool.release(lease)
        if retired is not None:
            self._close_later(retired)

    def _close_later(self, connection: AsyncConnection) -> None:
        task = asyncio.ensure_future(connection.channel.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self) -> None:
        for connection in self._pool.retain(self._routing.addresses()):
            await connection.channel.close()


class AsyncScanStream:
    """An open scan at one server."""

    def __init__(self, driver: AsyncDriver, lease: Lease[AsyncConnection], command: Open) -> None:
        self._driver = driver
        self._lease: Lease[AsyncConnection] | None = lease
        self._command = command
        connection = lease.channel
        self._call = connection.stub.Scan(
            command.request, timeout=command.timeout, metadata=connection.metadata
        )

    async def next(self) -> Any:
        """The next message, None at the end, or why there is none."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            return failure_of(error, self._command.address, self._command.shard)
        return None if message is grpc.aio.EOF else message

    def cancel(self) -> None:
        """End it; idempotent."""
        if self._lease is not None:
            self._call.cancel()
            self._driver.release(self._lease)
            self._lease = None
