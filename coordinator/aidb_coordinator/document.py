"""The topology in memory, and its way into the store.

Transitions that come while a swap is on its way go into the next one together: a thousand shards that start
at once cost some tens of writes, not thousands. The write happens in a thread, so that a busy disk delays
no heartbeat.
Invariant: memory never runs ahead of the store; a transition is answered once its result is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from aidb_coordinator import origin
from aidb_coordinator.store import Conflict, Store, StoreBroken, Stored, StoreError
from aidb_coordinator.topology import Topology, TopologyError

Outcome = TypeVar("Outcome")


class _Waiting(Generic[Outcome]):
    """A transition, and the caller who waits for its outcome."""

    def __init__(self, transition: Callable[[Topology], tuple[Topology, Outcome]]) -> None:
        self._transition = transition
        self._outcome: Outcome
        self.by = origin.current()
        self.changes = False
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def apply(self, topology: Topology) -> Topology:
        """The next document; when the transition is not allowed it stays as it is, and the caller learns
        why.
        """
        try:
            after, self._outcome = self._transition(topology)
        except TopologyError as error:
            self.fail(error)
            return topology
        self.changes = after is not topology
        return after

    def succeed(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self._outcome)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Document:
    """`changed` is called after every swap, with the document before it and on whose behalf that was.
    `broken` fails when somebody else writes, or nobody knows what is stored.
    """

    def __init__(self, store: Store, stored: Stored, changed: Callable[[Topology, list[str]], None]) -> None:
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store = store
        self._stored = stored
        self._changed = changed
        self._queue: list[_Waiting[Any]] = []
        self._writer: asyncio.Task[None] | None = None

    @property
    def topology(self) -> Topology:
        return self._stored.topology

    async def commit(self, transition: Callable[[Topology], tuple[Topology, Outcome]]) -> Outcome:
        """Applies `transition` to the newest document and stores the result; one that changes nothing
        writes nothing.

        A caller who gives up does not interrupt it. Raises StoreError, and TopologyError from `transition`.
        """
        waiting = _Waiting(transition)
        self._queue.append(waiting)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="topology writer")
        return await waiting.answer

    async def _write(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                await self._swap(batch)
            except Exception as error:
                for waiting in batch:
                    waiting.fail(error)
                if isinstance(error, StoreBroken | Conflict):
                    self.end(error)
        self._writer = None

    async def _swap(self, batch: list[_Waiting[Any]]) -> None:
        before = self._stored
        after = before.topology
        for waiting in batch:
            after = waiting.apply(after)
        if after is not before.topology:
            self._stored = await asyncio.to_thread(self._store.swap, before.revision, after)
            self._changed(before.topology, [waiting.by for waiting in batch if waiting.changes])
        for waiting in batch:
            waiting.succeed()

    def end(self, error: StoreError) -> None:
        """No more of it: whoever waits for `broken` learns why."""
        if not self.broken.done():
            self.broken.set_exception(error)

    async def close(self) -> None:
        """Lets the writes that have begun come to their end."""
        if self._writer is not None:
            await self._writer
