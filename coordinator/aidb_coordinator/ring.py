"""A consistent-hash ring with virtual nodes: which shards a slot prefers, and in which order.

The slots lie on the ring in their own order (slot s at s * 2^50 of 2^64), not at hashes: what a shard
prefers are then some hundred runs of neighbouring slots, and scans, slot tables and moves stay lists of
ranges. Hashing each slot spreads no better, since keys are hashed to slots already.
The ring only states preferences; the topology's table is the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sortedcontainers import SortedList
from xxhash import xxh3_64_intdigest

from aidb.slots import SLOT_COUNT

VIRTUAL_NODES = 64
_SLOT_DISTANCE = 2**64 // SLOT_COUNT


class Ring:
    """Each shard has `virtual_nodes` points; a slot prefers the shards whose points follow it, clockwise."""

    def __init__(self, shards: Iterable[int], virtual_nodes: int = VIRTUAL_NODES) -> None:
        self.shards = frozenset(shards)
        self._points: SortedList[tuple[int, int]] = SortedList(
            (_point(shard, node), shard) for shard in self.shards for node in range(virtual_nodes)
        )

    def preferred(self, slot: int, count: int) -> Iterator[int]:
        """The first `count` different shards after `slot`, most preferred first (fewer when the ring has
        fewer).
        """
        wanted = min(count, len(self.shards))
        seen: set[int] = set()
        start = self._points.bisect_left((slot * _SLOT_DISTANCE, -1))
        for step in range(len(self._points)):
            if len(seen) == wanted:
                return
            shard = self._points[(start + step) % len(self._points)][1]
            if shard not in seen:
                seen.add(shard)
                yield shard


def _point(shard: int, node: int) -> int:
    return xxh3_64_intdigest(b"shard %d node %d" % (shard, node))
