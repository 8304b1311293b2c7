"""A TCP proxy that counts the bytes that go through it, both ways: what two nodes send each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16
_START_SECONDS = 10.0


class CountingProxy:
    """Listens on ``address`` from its construction on, until the context ends. ``target``, asked at each
    connection, is host:port; empty = nobody is there yet, and the connection is closed.
    """

    def __init__(self, target: Callable[[], str]) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.bytes = 0
        self.address = ""
        self._thread.start()
        if not self._begun.wait(_START_SECONDS) or not self.address:
            raise OSError("the proxy does not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
            host, port = server.sockets[0].getsockname()[:2]
            self.address = f"{host}:{port}"
            self._begun.set()
            self._loop.run_forever()
            server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        finally:
            self._begun.set()
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target().rpartition(":")
        try:
            if not port:
                return
            there, here = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        finally:
            if not port:
                writer.close()
        try:
            await asyncio.gather(self._pass(reader, here), self._pass(there, writer))
        except asyncio.CancelledError:
            # The proxy ends, and with it its loop.
            return
        finally:
            for end in (writer, here):
                end.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(_CHUNK):
                self.bytes += len(chunk)
                sink.write(chunk)
                await sink.drain()
            sink.write_eof()
        except OSError:
            sink.close()
