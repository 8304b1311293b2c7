"""Which slots should move where: the difference between the table and even targets.

    plan(owners, shards, ring) -> moves that make the table even within one slot

It moves the fewest slots possible: the shards that own most already get the larger targets, only a surplus
leaves, and the ring merely breaks ties (which slots leave, and to whom). The same input gives the same plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sortedcontainers import SortedList

from aidb.slots import SLOT_COUNT
from aidb_coordinator.ring import Ring
from aidb_coordinator.topology import NOBODY, pack_owners

# How far down a slot's preferences the planner looks before it takes the emptiest shard; keeps 1,000 shards
# near a second.
_PREFERENCES = 8


@dataclass(frozen=True, slots=True)
class SlotMove:
    """`source` is `NOBODY` for a slot that has no owner."""

    slot: int
    source: int
    target: int


def first_table(shards: Collection[int]) -> bytes:
    """The packed table of a new cluster. Raises ValueError unless there are 1 to 16384 shards."""
    _check_count(shards)
    owners = apply([NOBODY] * SLOT_COUNT, plan([NOBODY] * SLOT_COUNT, shards, Ring(shards)))
    return pack_owners(owners)


def even_targets(counts: Counter[int], shards: Collection[int]) -> dict[int, int]:
    """How many slots each shard should own; what does not divide goes to those that own most, then to the
    lowest ids.
    """
    _check_count(shards)
    floor, extra = divmod(SLOT_COUNT, len(shards))
    by_size = sorted(shards, key=lambda shard: (-counts[shard], shard))
    return {shard: floor + (1 if position < extra else 0) for position, shard in enumerate(by_size)}


def _check_count(shards: Collection[int]) -> None:
    if not 1 <= len(shards) <= SLOT_COUNT:
        raise ValueError(f"a cluster has 1 to {SLOT_COUNT} shards, not {len(shards)}")


def plan(owners: Sequence[int], shards: Collection[int], ring: Ring) -> list[SlotMove]:
    """The fewest moves after which exactly `shards` own all slots, even within one; ascending by slot."""
    counts = Counter(owners)
    targets = even_targets(counts, shards)
    surplus = {owner: count - targets.get(owner, 0) for owner, count in counts.items()}
    needs = _Needs({shard: target - counts[shard] for shard, target in targets.items()})
    moves: list[SlotMove] = []

    def give(slot: int, target: int) -> None:
        surplus[owners[slot]] -= 1
        needs.fill(target)
        moves.append(SlotMove(slot, owners[slot], target))

    # First the slots that the ring gives to a shard in need, then any other slot of a shard with too many.
    left: list[int] = []
    for slot in range(SLOT_COUNT):
        if surplus[owners[slot]] <= 0:
            continue
        favourite = next(ring.preferred(slot, 1))
        if needs.of(favourite) > 0:
            give(slot, favourite)
        else:
            left.append(slot)
    for slot in left:
        if surplus[owners[slot]] > 0:
            wanted = (shard for shard in ring.preferred(slot, _PREFERENCES) if needs.of(shard) > 0)
            target = next(wanted, None)
            give(slot, needs.largest() if target is None else target)
    return sorted(moves, key=lambda move: move.slot)


def apply(owners: Sequence[int], moves: Sequence[SlotMove]) -> list[int]:
    """The table after `moves`. Raises ValueError when a slot is not where its move expects it."""
    table = list(owners)
    for move in moves:
        if table[move.slot] != move.source:
            raise ValueError(f"slot {move.slot} belongs to shard {table[move.slot]}, not to {move.source}")
        table[move.slot] = move.target
    return table


class _Needs:
    """Slots that each shard still wants; finds the neediest (lowest id first among equals)."""

    def __init__(self, needs: dict[int, int]) -> None:
        self._needs = needs
        self._order = SortedList((-need, shard) for shard, need in needs.items() if need > 0)

    def of(self, shard: int) -> int:
        return self._needs.get(shard, 0)

    def largest(self) -> int:
        shard: int = self._order[0][1]
        return shard

    def fill(self, shard: int) -> None:
        need = self._needs[shard]
        self._order.remove((-need, shard))
        self._needs[shard] = need - 1
        if need > 1:
            self._order.add((1 - need, shard))
