"""What leaves: stretches of neighbouring slots, over the borders of shards, that their owners have too much
of.

A stretch that ends one owner's range and begins the next one's costs the table one range more; the same slots
from the middles of ranges cost two each. So the longest are taken first: sweeps over the table with a window
that holds as much as its owners can give, each for windows half as long as the one before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from aidb.slots import SLOT_COUNT


def fits(weight: int, room: int) -> bool:
    """Whether giving `weight` brings `room` nearer to 0; with weights of 1: whether there is room."""
    return weight <= 2 * room and room > 0


def stretches(
    owners: Sequence[int], weights: Sequence[int], surplus: Mapping[int, int], pinned: Collection[int] = ()
) -> list[tuple[int, int]]:
    """First and last slot of each, ascending; together they weigh what each owner has too much."""
    sweeps = _Sweeps(owners, weights, surplus, pinned)
    shortest = SLOT_COUNT
    while shortest:
        longest_left = sweeps.sweep(shortest)
        # Where nothing of half the length is left, the sweeps for it would find nothing.
        shortest = min(shortest // 2, longest_left)
    return sorted(sweeps.found)


class _Sweeps:
    def __init__(
        self,
        owners: Sequence[int],
        weights: Sequence[int],
        surplus: Mapping[int, int],
        pinned: Collection[int],
    ) -> None:
        self.found: list[tuple[int, int]] = []
        self._owners, self._weights = owners, weights
        self._left = Counter(surplus)
        self._stays = bytearray(SLOT_COUNT)
        for slot in pinned:
            self._stays[slot] = 1

    def sweep(self, shortest: int) -> int:
        """Takes every window of at least `shortest` slots; the length of the longest that was not taken."""
        owners, weights, left = self._owners, self._weights, self._left
        window: Counter[int] = Counter()
        start = longest = 0
        for slot in range(SLOT_COUNT):
            owner, weight = owners[slot], weights[slot]
            free = not self._stays[slot] and fits(weight, left[owner])
            if free and fits(weight, left[owner] - window[owner]):
                window[owner] += weight
                continue
            if slot - start >= shortest:
                self._take(start, slot - 1, window)
                start = slot
                free = free and fits(weight, left[owner])
            else:
                longest = max(longest, slot - start)
            if not free:
                window.clear()
                start = slot + 1
                continue
            while not fits(weight, left[owner] - window[owner]):
                window[owners[start]] -= weights[start]
                start += 1
            window[owner] += weight
        if SLOT_COUNT - start >= shortest:
            self._take(start, SLOT_COUNT - 1, window)
        else:
            longest = max(longest, SLOT_COUNT - start)
        return longest

    def _take(self, first: int, last: int, window: Counter[int]) -> None:
        self.found.append((first, last))
        self._left.subtract(window)
        for slot in range(first, last + 1):
            self._stays[slot] = 1
        window.clear()
