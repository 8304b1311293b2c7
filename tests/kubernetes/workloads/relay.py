"""A Service's address: connections to it go to one of its pods, chosen anew for each connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Sequence

Backends = Callable[[], Sequence[tuple[str, int]]]


class Relays:
    """In a thread of its own, which `close` ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays")
        self._thread.start()

    def open(self, host: str, port: int, backends: Backends) -> None:
        """Raises OSError when the address is taken."""
        asyncio.run_coroutine_threadsafe(self._open(host, port, backends), self._loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self, host: str, port: int, backends: Backends) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await _join(reader, writer, backends())
            finally:
                self._connections.discard(task)

        self._servers[host, port] = await asyncio.start_server(accept, host, port)

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, backends: Sequence[tuple[str, int]]
) -> None:
    """No backend, or none that answers: closed, as kube-proxy refuses."""
    try:
        for host, port in random.sample(backends, len(backends)):
            try:
                to_reader, to_writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
            except (OSError, TimeoutError):
                continue
            try:
                await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))
            finally:
                to_writer.close()
            return
    except asyncio.CancelledError:
        pass  # the relay closes
    finally:
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    # One side is gone: neither is of use to the other any more.
    writer.close()
