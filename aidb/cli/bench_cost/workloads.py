"""YCSB A, B and C, and a cache-like mix: reads of keys half of which are not there at first, and are filled
when they are missed. Keys are drawn by a scrambled Zipfian distribution (theta 0.99, as YCSB's).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

THETA = 0.99


@dataclass(frozen=True, slots=True)
class Workload:
    """``writes``: part of the operations. ``fills``: a read that finds nothing is followed by a write.
    ``absent``: part of the keys that are not loaded before.
    """

    name: str
    writes: float
    fills: bool = False
    absent: float = 0.0
    ttl_ms: int = 0


WORKLOADS = (
    Workload("A", 0.5),
    Workload("B", 0.05),
    Workload("C", 0.0),
    Workload("cache", 0.02, fills=True, absent=0.5, ttl_ms=3_600_000),
)


@dataclass(frozen=True, slots=True)
class Operation:
    key: bytes
    write: bool


class Keys:
    """``count`` keys, and draws of them; the same seed draws the same."""

    def __init__(self, count: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._weights = list(accumulate(1 / rank**THETA for rank in range(1, count + 1)))
        self._keys = [b"user%012d" % number for number in range(count)]
        # Popularity has nothing to do with the order of keys.
        self._random.shuffle(self._keys)

    def loaded(self, absent: float) -> list[bytes]:
        """Those that are there at first: popular and unpopular ones alike."""
        kept = random.Random(7)
        return [key for key in self._keys if kept.random() >= absent]

    def draw(self, workload: Workload, count: int) -> Iterator[Operation]:
        keys = self._random.choices(self._keys, cum_weights=self._weights, k=count)
        for key in keys:
            yield Operation(key, self._random.random() < workload.writes)
