"""Slot moves as transitions of the document (rules M). Pure.

    add -> waiting -> PREPARE -> prepared -> FENCE -> fenced -> COMMIT -> committed
              ^                     |                   |
              +------ ABORT --------+-------------------+
    waiting, prepared, fenced -> cancelled, failed

An ABORT begins the next attempt, which waits: what is said of an attempt that is over changes nothing.
Invariants:
- a slot is in one live move at most, and belongs to its source until COMMIT (M8).
- a move is prepared or fenced only while both shards have the epochs that PREPARE found: the swap that raises
  one of them aborts it (M1), which `topology.interrupt_moves` does.
Those that have ended stay for a while, so that whoever asked for one learns what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from aidb.slots import SLOT_COUNT
from aidb_coordinator.slot_epochs import by_slot, packed, slots_of, spans_of
from aidb_coordinator.topology import (
    LIVE,
    MOVES_LEVEL,
    UNDER_WAY,
    Move,
    MoveStep,
    Shard,
    SlotSpan,
    Topology,
    TopologyError,
    aborted,
    existing,
    next_version,
    pack_owners,
    unpack_owners,
)

# Live ones, and those that have ended and are still shown.
MAX_LIVE = 4_096
MAX_ENDED = 32
# More than a shard logs between a report and the end of a move, or in an epoch.
LSN_ROOM = 1 << 32
# An attempt that cannot go on is followed by another, so often.
MAX_ATTEMPTS = 100


def add(
    topology: Topology, move_id: str, slots: Iterable[SlotSpan], source: int, target: int
) -> tuple[Topology, Move]:
    """Wants slots of `source` at `target`; the move of that id, if it is there already. Raises TopologyError
    when the source does not own all of them, or another move has one.
    """
    known = find(topology, move_id)
    wanted = spans_of(slot for span in slots for slot in slots_of(span))
    if known is not None:
        if (known.slots, known.source, known.target) != (wanted, source, target):
            raise TopologyError(f"there is another move {move_id}, of other slots")
        return topology, known
    existing(topology, source)
    existing(topology, target)
    if source == target:
        raise TopologyError(f"shard {source} has its slots already")
    topology = _with_records_of_moves(topology)
    if not wanted:
        raise TopologyError("a move has one slot at least")
    if wanted[0].first < 0 or wanted[-1].last >= SLOT_COUNT:
        raise TopologyError(f"slots are 0 to {SLOT_COUNT - 1}")
    taken = {slot: move.id for move in live(topology) for span in move.slots for slot in slots_of(span)}
    for slot in (slot for span in wanted for slot in slots_of(span)):
        if topology.owner(slot) != source:
            raise TopologyError(f"slot {slot} is not at shard {source}")
        if slot in taken:
            raise TopologyError(f"slot {slot} is part of move {taken[slot]} already")
    if sum(1 for _ in live(topology)) >= MAX_LIVE:
        raise TopologyError(f"{MAX_LIVE} moves wait already")
    move = Move(move_id, 1, wanted, source, 0, target, 0, MoveStep.WAITING)
    return _with_moves(topology, (*topology.moves, move)), move


def _with_records_of_moves(topology: Topology) -> Topology:
    """At the feature level at which shards log what moves: no older program may join from now on. Raises
    TopologyError when there is one.
    """
    if topology.feature_level >= MOVES_LEVEL:
        return topology
    old = sorted(member.name for member in topology.members.values() if member.feature_max < MOVES_LEVEL)
    if old:
        more = f" and {len(old) - 3} more" if len(old) > 3 else ""
        raise TopologyError(
            f"slots move at feature level {MOVES_LEVEL}, which {', '.join(old[:3])}{more} cannot speak: "
            "use a newer version of them first"
        )
    return replace(topology, feature_level=MOVES_LEVEL)


def prepare(topology: Topology, move_id: str) -> tuple[Topology, Move]:
    """PREPARE (M1), with the epochs of both shards. Raises TopologyError when one is being succeeded."""
    move = _at(topology, move_id, MoveStep.WAITING)
    source, target = (_steady(topology, shard) for shard in (move.source, move.target))
    prepared = replace(move, step=MoveStep.PREPARED, source_epoch=source.epoch, target_epoch=target.epoch)
    return _with(topology, prepared), prepared


def fence(topology: Topology, move_id: str, attempt: int, *, source_lsn: int) -> tuple[Topology, Move]:
    """FENCE (M6): the slots' epochs rise. `source_lsn`: the source's last so far. Raises TopologyError for an
    attempt that is over.
    """
    move = _at(topology, move_id, MoveStep.PREPARED, attempt)
    fenced = replace(move, step=MoveStep.FENCED)
    states = by_slot(topology)
    for slot in (slot for span in move.slots for slot in slots_of(span)):
        epoch, since_lsn = states[slot]
        states[slot] = epoch + 1, since_lsn
    # V1: the target is about to raise its LSN above the source's, and may lose the disk that knows of it.
    # Whatever it gives out in this epoch is below what a later epoch begins with.
    target = existing(topology, move.target)
    target = replace(target, least_lsn=max(target.least_lsn, source_lsn + 2 * LSN_ROOM))
    shards = tuple(target if shard.id == target.id else shard for shard in topology.shards)
    after = replace(_with(topology, fenced), shards=shards, slot_epochs=tuple(packed(states)))
    return after, fenced


def commit(
    topology: Topology, move_id: str, attempt: int, *, since_lsn: int, at_ms: int
) -> tuple[Topology, Move]:
    """COMMIT (M8): the target owns the slots, from its LSN `since_lsn` on; `at_ms` is now. Raises
    TopologyError for an attempt that is over.
    """
    move = _at(topology, move_id, MoveStep.FENCED, attempt)
    epochs = (_steady(topology, shard).epoch for shard in (move.source, move.target))
    if tuple(epochs) != (move.source_epoch, move.target_epoch):
        raise TopologyError(f"move {move_id} was prepared in other epochs of its shards")
    owners, states = unpack_owners(topology.slot_owners), by_slot(topology)
    for slot in (slot for span in move.slots for slot in slots_of(span)):
        owners[slot] = move.target
        states[slot] = states[slot][0], since_lsn
    done = replace(move, step=MoveStep.COMMITTED, reason="", committed_at_ms=at_ms, since_lsn=since_lsn)
    after = replace(_with(topology, done), slot_owners=pack_owners(owners), slot_epochs=tuple(packed(states)))
    return after, done


def abort(topology: Topology, move_id: str, attempt: int, reason: str) -> tuple[Topology, Move]:
    """ABORT (M9): the source keeps the slots; the next attempt waits, unless there were too many. Raises
    TopologyError for an attempt that is over.
    """
    move = _at(topology, move_id, None, attempt)
    if move.step not in UNDER_WAY:
        raise TopologyError(f"move {move_id} is {move.step}")
    after = aborted(move, reason)
    if after.attempt > MAX_ATTEMPTS:
        after = replace(after, step=MoveStep.FAILED)
    return _with(topology, after), after


def cancel(topology: Topology, move_id: str) -> tuple[Topology, Move]:
    """Ends it; one that has ended stays as it is. Raises TopologyError when there is no such move."""
    move = find(topology, move_id)
    if move is None:
        raise TopologyError(f"there is no move {move_id}")
    if move.step not in LIVE:
        return topology, move
    over = replace(move, step=MoveStep.CANCELLED, reason="cancelled")
    return _with(topology, over), over


def find(topology: Topology, move_id: str) -> Move | None:
    return next((move for move in topology.moves if move.id == move_id), None)


def live(topology: Topology) -> Iterable[Move]:
    return (move for move in topology.moves if move.step in LIVE)


class Room:
    """For moves at a time: a shard sends or takes at most `per_shard`, all shards together `at_once` (0 = no
    limit besides).
    """

    def __init__(self, per_shard: int, at_once: int, taken: Iterable[Move]) -> None:
        self._per_shard = per_shard
        self._at_once = at_once
        self._count = 0
        self._busy: dict[int, int] = {}
        for move in taken:
            self.take(move.source, move.target)

    def has(self, source: int, target: int) -> bool:
        """For one more between them."""
        if self._at_once and self._count >= self._at_once:
            return False
        return all(self._busy.get(shard, 0) < self._per_shard for shard in (source, target))

    def take(self, source: int, target: int) -> None:
        self._count += 1
        for shard in (source, target):
            self._busy[shard] = self._busy.get(shard, 0) + 1


def startable(
    topology: Topology, may_start: Callable[[Move], bool], per_shard: int, at_once: int = 0
) -> list[Move]:
    """The waiting moves that may begin now, oldest first."""
    room = Room(per_shard, at_once, (move for move in topology.moves if move.step in UNDER_WAY))
    chosen = []
    for move in topology.moves:
        if move.step is MoveStep.WAITING and room.has(move.source, move.target) and may_start(move):
            chosen.append(move)
            room.take(move.source, move.target)
    return chosen


def _steady(topology: Topology, shard_id: int) -> Shard:
    shard = existing(topology, shard_id)
    if shard.fresh or shard.primary is None:
        raise TopologyError(f"shard {shard_id} never had a primary")
    if shard.newest_epoch != shard.epoch:
        raise TopologyError(f"shard {shard_id} is being taken over")
    return shard


def _at(topology: Topology, move_id: str, step: MoveStep | None, attempt: int = 0) -> Move:
    move = find(topology, move_id)
    if move is None:
        raise TopologyError(f"there is no move {move_id}")
    if attempt and move.attempt != attempt:
        raise TopologyError(f"move {move_id} is at attempt {move.attempt}, not {attempt}")
    if step is not None and move.step is not step:
        raise TopologyError(f"move {move_id} is {move.step}, not {step}")
    return move


def _with(topology: Topology, move: Move) -> Topology:
    """With `move` in place of the one of its id; those that have ended come last."""
    others = tuple(kept if kept.id != move.id else move for kept in topology.moves)
    if move.step not in LIVE:
        others = (*(kept for kept in others if kept.id != move.id), move)
    return _with_moves(topology, others)


def _with_moves(topology: Topology, moves: tuple[Move, ...]) -> Topology:
    ended = [move.id for move in moves if move.step not in LIVE]
    old = set(ended[:-MAX_ENDED])
    return next_version(replace(topology, moves=tuple(move for move in moves if move.id not in old)))
