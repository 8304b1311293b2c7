"""A TCP proxy in front of a primary: what goes through it can be held, delayed and cut, by who connected.

One asyncio loop in a thread. A connection belongs to the process that opened it (`peers`).
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
CHUNK = 1 << 16
CALL_TIMEOUT = 10.0


class Treatment:
    """Of all connections of one owner, present and to come."""

    def __init__(self) -> None:
        self.flows = asyncio.Event()
        self.flows.set()
        self.longest_delay = 0.0
        self.held = 0


class Link:
    """One connection through the proxy."""

    def __init__(self, owner: str, treatment: Treatment, rng: random.Random) -> None:
        self.owner = owner
        self.writers: list[asyncio.StreamWriter] = []
        self._treatment = treatment
        self._rng = rng

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one direction to its end."""
        try:
            while data := await reader.read(CHUNK):
                if self._treatment.longest_delay:
                    await asyncio.sleep(self._rng.uniform(0, self._treatment.longest_delay))
                self._treatment.held += not self._treatment.flows.is_set()
                await self._treatment.flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return

    def cut(self) -> None:
        """Both sides see a reset; what is held here is lost."""
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """Listens on a free loopback port; a context manager. Methods are for the thread that made it.

    ``owner`` names who connected, by the ports connected from and to; ``target`` where that owner is led to.
    """

    def __init__(
        self, target: int | Callable[[str], int], owner: Callable[[int, int], str], rng: random.Random
    ) -> None:
        self.port = 0
        self._target = target if callable(target) else lambda _: target
        self._owner = owner
        self._rng = rng
        self._treatments: dict[str, Treatment] = defaultdict(Treatment)
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *exc: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self, owner: str) -> None:
        """Nothing flows on ``owner``'s connections until `release`."""
        self._treat(owner, lambda treatment: treatment.flows.clear())

    def release(self, owner: str) -> int:
        """End of `hold`; returns how many chunks it kept back."""

        def flow(treatment: Treatment) -> int:
            treatment.flows.set()
            held, treatment.held = treatment.held, 0
            return held

        return self._treat(owner, flow)

    def delay(self, owner: str, longest: float) -> None:
        """From now on each chunk on ``owner``'s connections waits up to ``longest`` seconds."""

        def slow(treatment: Treatment) -> None:
            treatment.longest_delay = longest

        self._treat(owner, slow)

    def cut(self, owner: str) -> int:
        """Reset ``owner``'s connections; returns how many there were."""

        async def run() -> int:
            links = [link for link in self._links if link.owner == owner]
            for link in links:
                link.cut()
            return len(links)

        return self._call(run())

    def _treat(self, owner: str, act: Callable[[Treatment], T]) -> T:
        async def run() -> T:
            return act(self._treatments[owner])

        return self._call(run())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=CALL_TIMEOUT)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for link in self._links:
            link.cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        owner = self._owner(writer.get_extra_info("peername")[1], self.port)
        link = Link(owner, self._treatments[owner], self._rng)
        link.writers.append(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target(owner))
        except OSError:
            link.cut()
            return
        link.writers.append(far_writer)
        self._links.add(link)
        pumps = [
            asyncio.ensure_future(link.pump(reader, far_writer)),
            asyncio.ensure_future(link.pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            link.cut()
            await asyncio.gather(*pumps, return_exceptions=True)
