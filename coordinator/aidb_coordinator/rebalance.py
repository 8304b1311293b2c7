"""The plan of a change of shape: what add_shard, remove_shard and rebalance move, as a list of moves.

    moves(owners, shards, ...) -> Plan: after it exactly `shards` own all slots

Adding a shard is a plan for the shards with it, removing one a plan for those without it, rebalancing one for
those that are there. Pure: the same input gives the same plan, so that a dry run shows what would be done and
a coordinator that died in the middle plans the rest anew from the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from aidb.slots import SLOT_COUNT
from aidb_coordinator import placement
from aidb_coordinator.placement import SlotMove, even_targets, sums
from aidb_coordinator.ring import Ring
from aidb_coordinator.topology import NOBODY, Move, SlotSpan, Topology, unpack_owners

# Shards this near to even are left alone when bytes or load are evened: part of the mean.
TOLERANCE = 0.05
# Of one move, by default: so short that it can be tried again, so long that its pause is worth it.
MOST_SLOTS = 256
# Steps of moves that the document still shows, and that change nothing any more.
_ENDED = frozenset(("committed", "cancelled", "failed"))
# What an empty slot counts, part of the mean: so that empty ones are spread as well.
_EMPTY_SLOT = 1 / 256


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """Slots that move together, in ascending spans."""

    slots: tuple[SlotSpan, ...]
    source: int
    target: int

    @property
    def slot_count(self) -> int:
        return sum(span.last - span.first + 1 for span in self.slots)


@dataclass(frozen=True, slots=True)
class Plan:
    """`before` and `after`: how much of what is evened each shard has, by id.

    The order of `moves` is one in which neighbours use different shards where that is possible, so that
    several may be under way at once.
    """

    moves: tuple[PlannedMove, ...]
    before: Mapping[int, int]
    after: Mapping[int, int]

    @property
    def slot_count(self) -> int:
        return sum(move.slot_count for move in self.moves)


def moves(
    topology: Topology,
    shards: Collection[int],
    *,
    figures: Sequence[int] | None = None,
    free: Mapping[int, int] | None = None,
    most_slots: int = MOST_SLOTS,
) -> Plan:
    """After the plan exactly `shards` own all slots.

    figures: bytes or load of each slot; slots are counted without.
    free: free bytes of each of `shards`; the slots of shards that leave are given out in proportion to
    them, those of others stay (with bytes as `figures`).
    Slots that move already count where they go to, and stay in their moves: those on their way to a shard
    that is to leave need another plan once they are there. Raises ValueError when there are fewer than 1 or
    more than 16384 shards.
    """
    placement.check_count(shards)
    owners, pinned = expected(topology)
    ring = Ring(shards)
    if figures is None:
        before = sums(owners)
        found = placement.plan(owners, shards, ring, pinned=pinned)
        weights: Sequence[int] = (1,) * SLOT_COUNT
    else:
        weights = positive(figures)
        before = sums(owners, weights)
        targets = even_targets(before, shards) if free is None else _by_room(before, shards, free)
        tolerance = int(TOLERANCE * before.total() / len(shards))
        found = placement.plan(
            owners, shards, ring, weights=weights, targets=targets, pinned=pinned, tolerance=tolerance
        )
    after = sums(placement.apply(owners, found), weights)
    return Plan(
        tuple(grouped(found, most_slots)),
        {shard: before[shard] for shard in sorted({*before, *shards} - {NOBODY})},
        {shard: after[shard] for shard in sorted({*before, *shards} - {NOBODY})},
    )


def grouped(slot_moves: Sequence[SlotMove], most_slots: int = MOST_SLOTS) -> Iterator[PlannedMove]:
    """The same as moves of several slots, at most `most_slots` each (at least 1)."""
    pairs: dict[tuple[int, int], list[int]] = {}
    for move in slot_moves:
        pairs.setdefault((move.source, move.target), []).append(move.slot)
    by_pair = [
        [PlannedMove(_spans(slots[at : at + most_slots]), *pair) for at in range(0, len(slots), most_slots)]
        for pair, slots in sorted(pairs.items())
    ]
    return (move for move in chain.from_iterable(zip_longest(*by_pair)) if move is not None)


def _spans(slots: Sequence[int]) -> tuple[SlotSpan, ...]:
    """Of ascending slots."""
    firsts = [slot for before, slot in zip((-2, *slots), slots, strict=False) if slot != before + 1]
    lasts = [slot for slot, after in zip(slots, (*slots[1:], -2), strict=True) if after != slot + 1]
    return tuple(map(SlotSpan, firsts, lasts))


def expected(topology: Topology) -> tuple[list[int], set[int]]:
    """The table when the moves under way have ended, and their slots."""
    owners = unpack_owners(topology.slot_owners)
    pinned: set[int] = set()
    for move in topology.moves:
        if not under_way(move):
            continue
        for span in move.slots:
            for slot in range(span.first, span.last + 1):
                owners[slot] = move.target
                pinned.add(slot)
    return owners, pinned


def under_way(move: Move) -> bool:
    """Or it waits; else it has ended and is only shown."""
    return move.step not in _ENDED


def positive(figures: Sequence[int]) -> list[int]:
    """Figures of slots as weights: none is 0, so that empty ones are spread as well. Raises ValueError unless
    there is one for each slot.
    """
    if len(figures) != SLOT_COUNT:
        raise ValueError(f"figures of {len(figures)} slots, not of {SLOT_COUNT}")
    least = max(1, int(sum(figures) / SLOT_COUNT * _EMPTY_SLOT))
    return [figure + least for figure in figures]


def _by_room(before: Mapping[int, int], shards: Collection[int], free: Mapping[int, int]) -> dict[int, int]:
    """What the shards have, and what others leave, in proportion to what is free."""
    room = {shard: max(0, free.get(shard, 0)) for shard in shards}
    if not any(room.values()):
        room = dict.fromkeys(shards, 1)
    total = sum(room.values())
    leaves = sum(weight for shard, weight in before.items() if shard not in room)
    return {shard: before.get(shard, 0) + leaves * room[shard] // total for shard in shards}
