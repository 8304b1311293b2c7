"""One process of clients: closed loops, which tell the capacity of a cluster of each shape, then readers and
writers in an open loop: each operation has its time, whether or not those before it have been answered, and
its latency counts from then.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event, Semaphore
from typing import Any

import aidb
import aidb.aio
from aidb.aio.client import AsyncClient
from tests.evidence.elastic.book import Book

# Of a call, retries included. An operation that takes longer than GOOD is not goodput.
TIMEOUT = 30.0
GOOD = 1.0
# Operations under way; those that are due beyond that are not begun, and no goodput.
_MOST_UNDER_WAY = 2_000
_MOST_TOLD = 20
# Seconds. Operations that fall due within it are begun together; latency counts from when they were due.
# Waking for each of them takes twice the CPU of the closed loop that the capacity was measured with.
_TICK = 0.01
_TOGETHER = 500


@dataclass(frozen=True)
class Plan:
    """What one process does. ``closed``: seconds of each of the ``loops`` closed loops, with so many
    ``workers``.
    """

    address: str
    name: str
    seed: int
    keys: int
    size: int
    closed: float
    loops: int
    workers: int = 16


@dataclass(frozen=True)
class Signals:
    """What a process is told. ``turn``: begin a closed loop. ``rate``: operations a second of the open loop,
    which begins after the last closed one. ``stop``: end it.
    """

    turn: Semaphore
    rate: Synchronized[float]
    stop: Event


@dataclass
class Told:
    """What a process found. Of each operation of the open loop: when it was due (seconds of the machine's
    monotonic clock), how long it took from then (negative: it failed, or was not begun).
    """

    due: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))
    acknowledged: int = 0
    keys: int = 0
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    wrong: list[str] = field(default_factory=list)
    wrong_count: int = 0

    def failed(self, error: aidb.AidbError) -> None:
        self.error_count += 1
        if len(self.errors) < _MOST_TOLD:
            self.errors.append(f"{type(error).__name__}: {error}")

    def found_wrong(self, problem: str) -> None:
        self.wrong_count += 1
        if len(self.wrong) < _MOST_TOLD:
            self.wrong.append(problem)


class Clients:
    """A client, its book and what it has found."""

    def __init__(self, client: AsyncClient, plan: Plan) -> None:
        self._client = client
        self._plan = plan
        self._rng = random.Random(plan.seed)
        self._locks = [asyncio.Lock() for _ in range(plan.keys)]
        self.book = Book(plan.size)
        self.told = Told()

    async def closed_loop(self) -> float:
        """Operations a second."""
        ends = time.monotonic() + self._plan.closed
        done = 0

        async def work() -> None:
            nonlocal done
            while time.monotonic() < ends:
                good = await self._one()
                done += good

        await gathered(work() for _ in range(self._plan.workers))
        return done / self._plan.closed

    async def open_loop(self, signals: Signals) -> None:
        """Until ``stop``; returns when the last operation is answered."""
        under_way: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not signals.stop.is_set():
            due += self._rng.expovariate(signals.rate.value)
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(max(early, _TICK))
            if len(under_way) >= _MOST_UNDER_WAY:
                self.told.due.append(due)
                self.told.took.append(-1.0)
                continue
            task = asyncio.create_task(self._timed(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def check(self) -> None:
        """With a client that knows of nothing, when nobody writes."""
        async with aidb.aio.connect(self._plan.address, timeout=60) as client:
            keys = self.book.keys
            found: dict[bytes, bytes | None] = {}
            for begin in range(0, len(keys), _TOGETHER):
                some = keys[begin : begin + _TOGETHER]
                values = await client.get_many(some, consistency="strong")
                found |= dict(zip(some, values, strict=True))
        for problem in self.book.problems(found):
            self.told.found_wrong(f"in the end {problem}")
        self.told.acknowledged, self.told.keys = self.book.count, len(keys)

    async def _timed(self, due: float) -> None:
        good = await self._one()
        self.told.due.append(due)
        took = time.monotonic() - due
        self.told.took.append(took if good else -took)

    async def _one(self) -> bool:
        number = self._rng.randrange(self._plan.keys)
        key = b"%s-%d" % (self._plan.name.encode(), number)
        if self._rng.random() < 0.5:
            return await read(self._client, self.book, key, self.told, self._rng)
        async with self._locks[number]:
            return await write(self._client, self.book, key, self.told)


async def write(client: AsyncClient, book: Book, key: bytes, told: Told) -> bool:
    """Whether it was acknowledged. Nobody else may be writing the key."""
    number, value = book.begin(key)
    try:
        if value is None:
            await client.delete(key)
        else:
            await client.put(key, value)
    except aidb.AidbError as error:
        told.failed(error)
        return False
    book.acknowledge(key, number)
    return True


async def read(client: AsyncClient, book: Book, key: bytes, told: Told, rng: random.Random) -> bool:
    """Whether it was answered."""
    floor = book.floor(key)
    try:
        found = await client.get(key, consistency=rng.choice(("strong", "session")))
    except aidb.AidbError as error:
        told.failed(error)
        return False
    if problem := book.why_not(key, found, floor):
        told.found_wrong(problem)
    return True


async def gathered(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


def run(plan: Plan, signals: Signals, output: Connection) -> None:
    """A lane: sends the capacity of each closed loop, then, after ``stop``, what it found."""
    asyncio.run(_run(plan, signals, output))


async def _run(plan: Plan, signals: Signals, output: Connection) -> None:
    async with aidb.aio.connect(plan.address, timeout=TIMEOUT) as client:
        clients = Clients(client, plan)
        for _ in range(plan.loops):
            await asyncio.to_thread(signals.turn.acquire)
            output.send(await clients.closed_loop())
        await asyncio.to_thread(signals.turn.acquire)
        await clients.open_loop(signals)
    await clients.check()
    output.send(clients.told)
