"""What the topology says of this shard's moves. Pure."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from aidb.v1 import cluster_pb2 as pb

PREPARED, FENCED = "prepared", "fenced"
_UNDER_WAY = (PREPARED, FENCED)
_NOBODY = 0xFFFF

# Inclusive on both ends.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Of a move: what is over when the next one begins."""

    move_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.move_id}/{self.number}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An import that the topology wants here. `source`: where its source's primary answers."""

    attempt: Attempt
    spans: tuple[Span, ...]
    source: str
    fenced: bool


def wanted_imports(topology: pb.Topology, shard: int, epoch: int) -> list[Wanted]:
    """Of a primary of `shard` in `epoch`."""
    addresses = {one.id: one.primary.address for one in topology.shards}
    return [
        Wanted(
            Attempt(move.id, move.attempt),
            tuple((span.first, span.last) for span in move.slots),
            addresses.get(move.source, ""),
            move.step == FENCED,
        )
        for move in topology.moves
        if move.step in _UNDER_WAY and (move.target, move.target_epoch) == (shard, epoch)
    ]


def serves(topology: pb.Topology, shard: int, epoch: int) -> bool:
    """Whether that is the shard's published epoch, and no other was taken."""
    known = next((one for one in topology.shards if one.id == shard), None)
    return known is not None and known.epoch == epoch and not known.successor.epoch


def foreign_slots(topology: pb.Topology, shard: int) -> list[Span]:
    """Slots of other shards that are on no way to this one: whatever it holds of them may go. A source reads
    here that a move was committed, a target that it was aborted (M9).
    """
    owners = array("H")
    owners.frombytes(topology.slot_owners)
    if sys.byteorder == "little":
        owners.byteswap()
    kept = {
        slot
        for move in topology.moves
        if move.step in _UNDER_WAY and shard in (move.source, move.target)
        for span in move.slots
        for slot in range(span.first, span.last + 1)
    }
    others = (slot not in kept and owner not in (shard, _NOBODY) for slot, owner in enumerate(owners))
    return list(_runs(others))


def _runs(marks: Iterable[bool]) -> Iterator[Span]:
    at = 0
    for marked, run in groupby(marks):
        length = sum(1 for _ in run)
        if marked:
            yield at, at + length - 1
        at += length


def count(spans: Sequence[Span]) -> int:
    return sum(last - first + 1 for first, last in spans)
