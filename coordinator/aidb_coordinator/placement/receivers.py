"""Who gets it: first the neighbours of a stretch, whose ranges grow by it, then whoever can take the whole of
it, by the ring's preference, and at last the neediest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sortedcontainers import SortedList

from aidb.slots import SLOT_COUNT
from aidb_coordinator.placement.stretches import fits
from aidb_coordinator.ring import Ring
from aidb_coordinator.topology import NOBODY

# How far down a slot's preferences the planner looks before it takes the neediest shard; keeps 1,000 shards
# near a second.
_PREFERENCES = 8


def hand_out(
    table: list[int],
    stretches: Sequence[tuple[int, int]],
    weights: Sequence[int],
    needs: Mapping[int, int],
    ring: Ring,
) -> None:
    """Changes `table`: every slot of `stretches` gets an owner among `needs`."""
    wanted = _Needs(needs)
    rest = [_extend(table, first, last, weights, wanted) for first, last in stretches]
    for first, last in sorted(rest, key=lambda stretch: (stretch[0] - stretch[1], stretch)):
        _share(table, first, last, weights, wanted, ring)


def _extend(
    table: list[int], first: int, last: int, weights: Sequence[int], needs: _Needs
) -> tuple[int, int]:
    """Gives the ends to the neighbours that want them; what is left."""
    before = table[first - 1] if first else NOBODY
    room = needs.of(before)
    while first <= last and fits(weights[first], room):
        table[first] = before
        room -= weights[first]
        first += 1
    needs.set(before, room)
    after = table[last + 1] if last + 1 < SLOT_COUNT else NOBODY
    room = needs.of(after)
    while first <= last and fits(weights[last], room):
        table[last] = after
        room -= weights[last]
        last -= 1
    needs.set(after, room)
    return first, last


def _share(
    table: list[int], first: int, last: int, weights: Sequence[int], needs: _Needs, ring: Ring
) -> None:
    while first <= last:
        whole = sum(weights[first : last + 1])
        takers = (shard for shard in ring.preferred(first, _PREFERENCES) if needs.of(shard) >= whole)
        shard = next(takers, None)
        shard = needs.largest() if shard is None else shard
        room = needs.of(shard)
        while True:
            table[first] = shard
            room -= weights[first]
            first += 1
            if first > last or not fits(weights[first], room):
                break
        needs.set(shard, room)


class _Needs:
    """How much each shard still wants; finds the neediest (lowest id first among equals)."""

    def __init__(self, needs: Mapping[int, int]) -> None:
        self._needs = dict(needs)
        self._order = SortedList((-need, shard) for shard, need in needs.items())

    def of(self, shard: int) -> int:
        return self._needs.get(shard, 0)

    def largest(self) -> int:
        """Also when nobody wants anything: who was given more than it needed by least."""
        shard: int = self._order[0][1]
        return shard

    def set(self, shard: int, need: int) -> None:
        before = self._needs.get(shard)
        if before is None or before == need:
            return
        self._order.remove((-before, shard))
        self._needs[shard] = need
        self._order.add((-need, shard))
