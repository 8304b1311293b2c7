"""Which slots should move where: the difference between the table and targets.

    plan(owners, shards, ring) -> moves that make the table even within one slot
    plan(owners, shards, ring, weights=...) -> the same by bytes or load, as even as single slots allow

By slots it moves the fewest possible: the shards that own most already get the larger targets, and only a
surplus leaves. Which slots leave, and to whom, keeps ranges long, because scans, slot epochs in the document
and moves are lists of ranges; the ring breaks ties. The same input gives the same plan.

    owners, targets -> stretches (what leaves) -> receivers (who gets it) -> evening (single slots by weight)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aidb.slots import SLOT_COUNT
from aidb_coordinator.placement.evening import even_out
from aidb_coordinator.placement.receivers import hand_out
from aidb_coordinator.placement.stretches import stretches
from aidb_coordinator.ring import Ring
from aidb_coordinator.topology import NOBODY, pack_owners

_EACH_ONE = (1,) * SLOT_COUNT


@dataclass(frozen=True, slots=True)
class SlotMove:
    """`source` is `NOBODY` for a slot that has no owner."""

    slot: int
    source: int
    target: int


def first_table(shards: Collection[int]) -> bytes:
    """The packed table of a new cluster: one range each. Raises ValueError unless there are 1 to 16384
    shards.
    """
    check_count(shards)
    owners = apply([NOBODY] * SLOT_COUNT, plan([NOBODY] * SLOT_COUNT, shards, Ring(shards)))
    return pack_owners(owners)


def even_targets(totals: Counter[int], shards: Collection[int]) -> dict[int, int]:
    """How much each shard should have; what does not divide goes to those that have most, then to the lowest
    ids.
    """
    check_count(shards)
    floor, extra = divmod(totals.total(), len(shards))
    by_size = sorted(shards, key=lambda shard: (-totals[shard], shard))
    return {shard: floor + (1 if position < extra else 0) for position, shard in enumerate(by_size)}


def check_count(shards: Collection[int]) -> None:
    """Raises ValueError."""
    if not 1 <= len(shards) <= SLOT_COUNT:
        raise ValueError(f"a cluster has 1 to {SLOT_COUNT} shards, not {len(shards)}")


def sums(owners: Sequence[int], weights: Sequence[int] = _EACH_ONE) -> Counter[int]:
    """What each shard has: slots, or the weight of its slots."""
    totals: Counter[int] = Counter()
    for owner, weight in zip(owners, weights, strict=True):
        totals[owner] += weight
    return totals


def plan(
    owners: Sequence[int],
    shards: Collection[int],
    ring: Ring,
    *,
    weights: Sequence[int] = _EACH_ONE,
    targets: Mapping[int, int] | None = None,
    pinned: Collection[int] = (),
    tolerance: int = 0,
) -> list[SlotMove]:
    """Moves after which exactly `shards` own all slots, ascending by slot; a slot moves at most once.

    `weights` of the slots are positive; `targets` name for each of `shards` how much it should have (as much
    as every other). Nothing moves when nobody has to leave and all are within `tolerance` of their targets.
    `pinned` slots stay where they are. Raises ValueError unless there are 1 to 16384 shards.
    """
    totals = sums(owners, weights)
    targets = even_targets(totals, shards) if targets is None else targets
    excess = {shard: totals[shard] - targets.get(shard, 0) for shard in totals.keys() | targets.keys()}
    settled = totals.keys() <= targets.keys()
    if settled and all(abs(off) <= tolerance for off in excess.values()):
        return []
    surplus = {shard: off for shard, off in excess.items() if off > 0}
    leaving = stretches(owners, weights, surplus, pinned)
    table = list(owners)
    needs = {shard: -off for shard, off in excess.items() if off <= 0 and shard in targets}
    hand_out(table, leaving, weights, needs, ring)
    even_out(table, weights, targets, pinned, tolerance)
    return [
        SlotMove(slot, source, target)
        for slot, (source, target) in enumerate(zip(owners, table, strict=True))
        if source != target
    ]


def apply(owners: Sequence[int], moves: Sequence[SlotMove]) -> list[int]:
    """The table after `moves`. Raises ValueError when a slot is not where its move expects it."""
    table = list(owners)
    for move in moves:
        if table[move.slot] != move.source:
            raise ValueError(f"slot {move.slot} belongs to shard {table[move.slot]}, not to {move.source}")
        table[move.slot] = move.target
    return table
