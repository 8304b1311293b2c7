"""The slot moves that are under way: who reports what, and what follows from it.

Everything that counts is in the document; what targets say of their progress is for people, and in memory
only. Targets repeat what they say until it is obsolete, so a lost report, or a coordinator that died between
a report and the swap, delays a move and nothing more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aidb import errors
from aidb_coordinator import moves
from aidb_coordinator.clock import Clock
from aidb_coordinator.document import Document
from aidb_coordinator.events import EventLog, Severity
from aidb_coordinator.health import MemberState
from aidb_coordinator.roster import Roster
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import StoreError
from aidb_coordinator.succession import Outcome, Transition
from aidb_coordinator.topology import (
    UNDER_WAY,
    Move,
    MoveStep,
    Shard,
    SlotSpan,
    Topology,
    TopologyError,
)

MAX_TEXT = 200
# A target that says nothing of an attempt for so long is given up, in seconds.
SILENCE = 30.0
# Between two attempts: so long at first, twice as long each time, at most so long.
PAUSE = 0.25
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a target says of its import, for people."""

    step: str
    bytes: int
    bytes_total: int
    bytes_per_second: int
    behind_ms: int
    entries: int


@dataclass(frozen=True, slots=True)
class Report:
    """`ready`: fence; the source's log is at `final_lsn`. `since_lsn`: it has drained through `final_lsn` of
    the source. `failed`: why this attempt cannot go on.
    """

    name: str
    process_id: str
    epoch: int
    move_id: str
    attempt: int
    progress: Progress
    ready: bool = False
    final_lsn: int = 0
    since_lsn: int = 0
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    attempt: int
    at: float
    progress: Progress


class Movers:
    """Methods raise subclasses of AidbError, and StoreError."""

    def __init__(
        self, document: Document, roster: Roster, events: EventLog, settings: Settings, clock: Clock
    ) -> None:
        self._document = document
        self._roster = roster
        self._events = events
        self._settings = settings
        self._clock = clock
        self._heard: dict[str, Heard] = {}
        # When a step of an attempt was first seen here: (attempt, step) and the time.
        self._since: dict[str, tuple[int, MoveStep, float]] = {}
        self._aborts: dict[str, tuple[int, float]] = {}

    @property
    def _topology(self) -> Topology:
        return self._document.topology

    def heard(self, move: Move) -> tuple[Progress, int] | None:
        """What was last said of the move's present attempt, and its age in ms."""
        heard = self._heard.get(move.id)
        if heard is None or heard.attempt != move.attempt:
            return None
        return heard.progress, int((self._clock.monotonic() - heard.at) * 1000)

    async def start(self, move_id: str, slots: Sequence[SlotSpan], source: int, target: int) -> Move:
        """Wants a move; the one of that id if there is one. Raises InvalidArgument when it cannot be."""
        move_id = move_id or uuid.uuid4().hex[:12]
        if len(move_id) > 64 or not move_id.isprintable():
            raise errors.InvalidArgument("the id of a move has up to 64 printable characters")
        try:
            move = await self._document.commit(
                lambda topology: moves.add(topology, move_id, slots, source, target)
            )
        except TopologyError as error:
            raise errors.InvalidArgument(str(error)) from error
        self._tell(Severity.NORMAL, "MoveWanted", move, f"{_slots(move)} of shard {source} to shard {target}")
        await self._begin_those_that_may()
        return moves.find(self._topology, move.id) or move

    async def cancel(self, move_id: str) -> Move:
        """Ends it unless it is committed. Raises InvalidArgument when there is none."""
        try:
            move = await self._document.commit(lambda topology: moves.cancel(topology, move_id))
        except TopologyError as error:
            raise errors.InvalidArgument(str(error)) from error
        if move.step is MoveStep.CANCELLED:
            self._tell(Severity.NORMAL, "MoveCancelled", move, "")
        return move

    async def report(self, report: Report) -> None:
        """Raises Conflict for who does not take this move now, NotPrimary."""
        move = moves.find(self._topology, report.move_id)
        if move is None or (move.attempt, move.target_epoch) != (report.attempt, report.epoch):
            raise errors.Conflict(f"attempt {report.attempt} of move {report.move_id} is over")
        shard = self._topology.shard(move.target)
        primary = None if shard is None else shard.primary
        seen = None if primary is None else self._roster.observation(primary.name)
        if primary is None or primary.name != report.name or seen is None:
            raise errors.NotPrimary(f"{report.name} is not the primary of shard {move.target}")
        if seen.process_id not in ("", report.process_id):
            raise errors.NotPrimary(f"another process speaks for {report.name} now")
        self._heard[move.id] = Heard(move.attempt, self._clock.monotonic(), report.progress)
        if move.step not in UNDER_WAY:
            return
        if report.failed:
            await self._abort(move, report.failed[:MAX_TEXT])
        elif report.ready and move.step is MoveStep.PREPARED:
            source_lsn = report.final_lsn
            await self._step(
                lambda topology: moves.fence(topology, move.id, move.attempt, source_lsn=source_lsn)
            )
        elif report.since_lsn and move.step is MoveStep.FENCED:
            since_lsn = report.since_lsn
            done = await self._step(
                lambda topology: moves.commit(
                    topology, move.id, move.attempt, since_lsn=since_lsn, at_ms=self._clock.wall_ms()
                )
            )
            if done is not None:
                self._aborts.pop(move.id, None)
                fenced = self._since.get(move.id, (0, MoveStep.FENCED, self._clock.monotonic()))[2]
                paused = (self._clock.monotonic() - fenced) * 1000
                message = f"{_slots(done)} at shard {done.target}, fenced for {paused:.0f} ms"
                self._tell(Severity.NORMAL, "MoveCommitted", done, message)

    async def tick(self) -> None:
        """Time has passed: attempts may have come to nothing, others may begin."""
        try:
            await self._give_up()
            await self._begin_those_that_may()
        except StoreError as error:
            self._events.add(Severity.WARNING, "MovesNotDecided", "coordinator", str(error))

    async def _give_up(self) -> None:
        now = self._clock.monotonic()
        for move in [move for move in self._topology.moves if move.step in UNDER_WAY]:
            since = self._first_seen(move, now)
            heard = self._heard.get(move.id)
            last = heard.at if heard is not None and heard.attempt == move.attempt else since
            if move.step is MoveStep.FENCED and now - since > self._settings.fence_seconds:
                # M9: until the source reads this, nobody answers for the slots.
                await self._abort(move, f"not drained within {self._settings.fence_seconds:g} s")
            elif now - max(last, since) > SILENCE:
                await self._abort(move, f"nothing was heard of its target for {SILENCE:g} s")

    async def _begin_those_that_may(self) -> None:
        now = self._clock.monotonic()
        settings = self._settings

        def may_start(move: Move) -> bool:
            ends = (self._topology.shard(move.source), self._topology.shard(move.target))
            aborted = self._aborts.get(move.id)
            rested = aborted is None or now >= aborted[1]
            return rested and all(map(self._serves, ends))

        for move in moves.startable(
            self._topology, may_start, settings.moves_per_shard, settings.moves_at_once
        ):
            await self._step(lambda topology, move=move: moves.prepare(topology, move.id))  # type: ignore[misc]

    def _serves(self, shard: Shard | None) -> bool:
        if shard is None or shard.primary is None or shard.successor is not None:
            return False
        return self._roster.verdict(shard.primary.name).state is MemberState.HEALTHY

    async def _abort(self, move: Move, reason: str) -> None:
        after = await self._step(lambda topology: moves.abort(topology, move.id, move.attempt, reason))
        if after is None:
            return
        count = self._aborts.get(move.id, (0, 0.0))[0] + 1
        pause = min(PAUSE * 2 ** min(count, 16), LONGEST_PAUSE)
        self._aborts[move.id] = count, self._clock.monotonic() + pause
        failed = after.step is MoveStep.FAILED
        severity = Severity.ALERT if failed else Severity.WARNING
        self._tell(severity, "MoveFailed" if failed else "MoveAborted", after, reason)

    async def _step(self, transition: Transition[Outcome]) -> Outcome | None:
        """None: the document had moved on; what follows from that comes by itself."""
        try:
            return await self._document.commit(transition)
        except TopologyError:
            return None
        finally:
            self._forget()

    def _first_seen(self, move: Move, now: float) -> float:
        known = self._since.get(move.id)
        if known is None or known[:2] != (move.attempt, move.step):
            self._since[move.id] = move.attempt, move.step, now
            return now
        return known[2]

    def _forget(self) -> None:
        """Of moves that the document has no more; and notes when the others came to where they are."""
        now = self._clock.monotonic()
        for move in self._topology.moves:
            if move.step in UNDER_WAY:
                self._first_seen(move, now)
        known = {move.id for move in self._topology.moves}
        for memory in (self._heard, self._since, self._aborts):
            for gone in memory.keys() - known:
                del memory[gone]

    def _tell(self, severity: Severity, reason: str, move: Move, message: str) -> None:
        text = f"attempt {move.attempt}" + (f": {message}" if message else "")
        self._events.add(severity, reason, f"move {move.id}", text)


def _slots(move: Move) -> str:
    return count_of(move.slots)


def count_of(spans: Iterable[SlotSpan]) -> str:
    """For people."""
    count = sum(span.last - span.first + 1 for span in spans)
    return "1 slot" if count == 1 else f"{count} slots"
