"""The last step by weight: single slots from the shard with most to the one with least.

Stretches round to whole slots, shard by shard; with heavy slots the remainders add up. By slots, where every
weight is 1, nothing is left to do here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sortedcontainers import SortedList

from aidb.slots import SLOT_COUNT


def even_out(
    table: list[int],
    weights: Sequence[int],
    targets: Mapping[int, int],
    pinned: Collection[int],
    tolerance: int,
) -> None:
    """Changes `table` until all shards are within `tolerance` of their `targets`, or no slot is light enough
    to bring them nearer.
    """
    excess = {shard: -target for shard, target in targets.items()}
    for owner, weight in zip(table, weights, strict=True):
        excess[owner] = excess.get(owner, 0) + weight
    if all(abs(off) <= max(1, tolerance) for off in excess.values()):
        return
    slots = _slots_by_weight(table, weights, pinned)
    order = SortedList((off, shard) for shard, off in excess.items() if shard in targets)
    # Each move makes the sum of squares smaller; the bound is for the time that it may take.
    for _ in range(SLOT_COUNT):
        if len(order) < 2:
            return
        least, receiver = order[0]
        most, giver = order[-1]
        if most <= tolerance and least >= -tolerance:
            return
        found = _half_of(slots.get(giver), most - least)
        if found is None:
            del order[-1]  # its slots are too heavy: it keeps them
            continue
        weight, slot = found
        slots[giver].remove(found)
        slots.setdefault(receiver, SortedList()).add(found)
        table[slot] = receiver
        del order[-1]
        del order[0]
        order.add((most - weight, giver))
        order.add((least + weight, receiver))


def _slots_by_weight(
    table: Sequence[int], weights: Sequence[int], pinned: Collection[int]
) -> dict[int, SortedList]:
    stays = frozenset(pinned)
    slots: dict[int, SortedList] = {}
    for slot, owner in enumerate(table):
        if slot not in stays:
            slots.setdefault(owner, SortedList()).add((weights[slot], slot))
    return slots


def _half_of(slots: SortedList | None, difference: int) -> tuple[int, int] | None:
    """The slot whose move leaves the two nearest to each other; None if none brings them nearer."""
    if not slots:
        return None
    position = slots.bisect_left((difference // 2, -1))
    near = [slots[index] for index in (position - 1, position) if 0 <= index < len(slots)]
    weight, slot = min(near, key=lambda pair: (abs(2 * pair[0] - difference), pair))
    return (weight, slot) if weight < difference else None
