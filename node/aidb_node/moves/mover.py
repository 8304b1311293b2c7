"""Follows the topology: runs the imports that it wants here, ends those that it wants no more, and deletes
what this shard holds of slots that are others'.

Imports and deletions are begun by one thread, and no deletion while an import of those slots runs: what is
deleted was nobody's when it was looked at, and the native side looks again when it does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from aidb.errors import AidbError, Conflict
from aidb.v1 import cluster_pb2 as pb
from aidb_node.logs import Log
from aidb_node.moves.calls import Coordinator, RemoteSource
from aidb_node.moves.document import (
    Attempt,
    Span,
    Wanted,
    count,
    foreign_slots,
    serves,
    wanted_imports,
)
from aidb_node.moves.figures import Figures
from aidb_node.moves.horizon import Horizon
from aidb_node.moves.importing import Import, Native, Said
from aidb_node.moves.pacing import Pace

_LOOK = 0.5
# Reports are repeated so often, in seconds; those that something waits for more often.
_REPEAT = 0.5
_REPEAT_SOON = 0.1
_REFRESH = 1.0
_END = 2.0


class Primary(Native, Protocol):
    """The part of the native `Server` that is needed."""

    def topology_after(self, version: int, timeout: float) -> bytes | None: ...
    def refresh(self, version: int, timeout: float) -> bool: ...
    def occupied_slots(self, spans: list[Span]) -> list[Span]: ...


class _Running:
    """An import, the thread that does it, and the one that tells the coordinator."""

    def __init__(
        self,
        primary: Primary,
        wanted: Wanted,
        source: RemoteSource,
        coordinator: Coordinator,
        epoch: int,
        version: int,
        pace: Pace,
        over: threading.Event,
        log: Log,
    ) -> None:
        self.wanted = wanted
        self._primary = primary
        self._source = source
        self._coordinator = coordinator
        self._epoch = epoch
        self._over = over
        self._log = log
        self._said = Said()
        self._news = threading.Event()
        self._told = ""
        self.work = Import(primary, source, wanted, version, pace, self._say, over)
        self._threads = [
            threading.Thread(target=target, name=f"move {wanted.attempt} {name}", daemon=True)
            for name, target in (("import", self._run), ("report", self._report))
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> bool:
        """Whether it has ended: nothing more of it will be done."""
        self._over.set()
        self._news.set()
        self._source.close()
        for thread in self._threads:
            thread.join(_END)
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def has_failed(self) -> bool:
        return bool(self._said.failed)

    def _say(self, said: Said) -> None:
        urgent = (said.ready, said.since_lsn, said.failed) != (
            self._said.ready,
            self._said.since_lsn,
            self._said.failed,
        )
        self._said = said
        if urgent:
            self._news.set()

    def _run(self) -> None:
        self._log.info("slots are being imported", move=self.wanted.attempt, slots=count(self.wanted.spans))
        self.work.run()
        if self._said.failed:
            self._log.warning("an import failed", move=self.wanted.attempt, reason=self._said.failed)

    def _report(self) -> None:
        while not self._over.is_set():
            self._news.clear()
            said = self._said
            request = pb.ReportMoveRequest(
                epoch=self._epoch,
                id=self.wanted.attempt.move_id,
                attempt=self.wanted.attempt.number,
                progress=said.progress,
                ready=said.ready,
                final_lsn=said.final_lsn,
                since_lsn=said.since_lsn,
                failed=said.failed,
            )
            try:
                version = self._coordinator.report(request)
            except AidbError as error:
                self._complain(str(error))
            else:
                self._told = ""
                self._primary.refresh(version, _REFRESH)
            waited_for = said.ready or said.since_lsn or said.failed
            self._news.wait(_REPEAT_SOON if waited_for else _REPEAT)

    def _complain(self, problem: str) -> None:
        if problem != self._told and not self._over.is_set():
            self._told = problem
            self._log.warning("a move's report was not taken", move=self.wanted.attempt, reason=problem)


class Mover:
    """A thread, from the first `begin` to `close`. `dial` opens a channel to a program of the cluster."""

    def __init__(
        self,
        primary: Primary,
        shard: int,
        coordinator: Coordinator,
        source: Callable[[str, Attempt, threading.Event], RemoteSource],
        pace: Pace,
        horizon: Horizon,
        log: Log,
    ) -> None:
        self._primary = primary
        self._horizon = horizon
        self._shard = shard
        self._coordinator = coordinator
        self._source = source
        self._pace = pace
        self._log = log
        self._epoch = 0
        self._stop = threading.Event()
        self._running: dict[Attempt, _Running] = {}
        self._thread = threading.Thread(target=self._run, name="moves", daemon=True)
        self._problem = ""
        self.figures = Figures()
        # Of the topology by which it was last looked for slots of others, and found to hold none.
        self._clean_by: tuple[bytes, bytes] | None = None

    def begin(self, epoch: int) -> None:
        """The shard's epoch is another; attempts of the one before are over (M1)."""
        self._epoch = epoch
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END)
        self._coordinator.close()

    def _run(self) -> None:
        version = 0
        topology = pb.Topology()
        while not self._stop.is_set():
            encoded = self._primary.topology_after(version, _LOOK)
            if encoded is not None:
                topology = pb.Topology.FromString(encoded)
                version = topology.version
            if not version:
                continue
            try:
                self._follow(topology)
                self._problem = ""
            except (AidbError, OSError) as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    self._log.warning("slots stay as they are for now", reason=error)
        for attempt in list(self._running):
            self._end(attempt)

    def _follow(self, topology: pb.Topology) -> None:
        """Raises AidbError, OSError."""
        if topology.version < self._horizon.version:
            raise Conflict(
                f"topology version {topology.version} is older than {self._horizon.version}, by which slots "
                "were moved here: start the coordinator with the newest copy of its data"
            )
        wanted = {one.attempt: one for one in wanted_imports(topology, self._shard, self._epoch)}
        for attempt in list(self._running):
            if attempt in wanted:
                self._running[attempt].work.learn(topology.version)
                if wanted[attempt].fenced:
                    self.figures.fenced(str(attempt))
            else:
                self._end(attempt)
        for attempt, one in wanted.items():
            if attempt not in self._running and not self._overlaps(one):
                self._horizon.raise_to(topology.version)
                self._begin(one, topology.version)
        if serves(topology, self._shard, self._epoch):
            self._clean(topology)

    def _begin(self, wanted: Wanted, version: int) -> None:
        over = threading.Event()
        self._running[wanted.attempt] = _Running(
            self._primary,
            wanted,
            self._source(wanted.source, wanted.attempt, over),
            self._coordinator,
            self._epoch,
            version,
            self._pace,
            over,
            self._log,
        )
        work = self._running[wanted.attempt].work
        self.figures.began(str(wanted.attempt), lambda: work.progress)

    def _overlaps(self, wanted: Wanted) -> bool:
        """With an import that has not come to its end yet, of an attempt that is over."""
        return any(self._is_busy(span) for span in wanted.spans)

    def _is_busy(self, span: Span) -> bool:
        first, last = span
        return any(
            first <= busy_last and busy_first <= last
            for running in self._running.values()
            for busy_first, busy_last in running.wanted.spans
        )

    def _end(self, attempt: Attempt) -> None:
        if self._running[attempt].end():
            failed = self._running.pop(attempt).has_failed
            self.figures.ended(str(attempt), failed=failed)
        else:
            self._log.warning("an import that is over has not ended yet", move=attempt)

    def _clean(self, topology: pb.Topology) -> None:
        placement = topology.slot_owners, b"".join(one.SerializeToString() for one in topology.moves)
        if placement == self._clean_by:
            return
        self._clean_by = None
        self._horizon.raise_to(topology.version)
        spans = [span for span in foreign_slots(topology, self._shard) if not self._is_busy(span)]
        occupied = self._primary.occupied_slots(spans) if spans else []
        if occupied:
            self._primary.wipe_slots(occupied)
            self.figures.deleted_ranges += len(occupied)
            self._log.info("slots of other shards deleted", ranges=len(occupied))
        if not self._running:
            self._clean_by = placement
