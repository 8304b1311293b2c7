"""What is asked of each slot and key, and how large slots are: out of what members count. No I/O.

A slot's figures are those of the shard that owns it. Until the new owner of a slot that moved has been heard,
they are the old one's.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aidb.slots import SLOT_COUNT
from aidb_coordinator.topology import Topology, unpack_owners

# Of a shard, in memory: members name more of them than they were asked for in no case.
MOST_KEYS = 64
# Loads are weighed in thousandths of an operation a second: in a large cluster most slots have less than one.
LOAD_SCALE = 1_000


class By(StrEnum):
    """What is evened over shards."""

    SLOTS = "slots"
    BYTES = "bytes"
    LOAD = "load"


class NotMeasured(Exception):
    """Figures of a shard that are needed are not known yet."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one member answered. at, uptime: seconds. slots: reads and writes of each since it began, and
    `reads`, `writes` those of all. hot_*: physical keys with the part of the member's reads or writes, 0
    to 1, that they have at least.
    """

    at: float
    uptime: float
    slots: Mapping[int, tuple[int, int]]
    reads: int = 0
    writes: int = 0
    hot_reads: Sequence[tuple[bytes, float]] = ()
    hot_writes: Sequence[tuple[bytes, float]] = ()

    def seconds_since(self, before: Counted | None) -> float | None:
        """Between the two; None when it began anew since."""
        if before is None or not 0 < self.at - before.at <= self.uptime or self.uptime < before.uptime:
            return None
        return self.at - before.at


@dataclass(frozen=True, slots=True)
class HotKey:
    """A physical key, and what is asked of it at all members of its shard together, a second, at least."""

    shard: int
    key: bytes
    reads: float = 0.0
    writes: float = 0.0


class SlotLoad:
    """Of the cluster: a second, and bytes. Bounded by the number of slots and shards."""

    def __init__(self) -> None:
        self.reads = array("d", bytes(8 * SLOT_COUNT))
        self.writes = array("d", bytes(8 * SLOT_COUNT))
        self.bytes = array("Q", bytes(8 * SLOT_COUNT))
        self.keys: dict[int, tuple[HotKey, ...]] = {}
        # When a shard was heard last, seconds.
        self.heard: dict[int, float] = {}
        self.sized: dict[int, float] = {}

    def of(self, slot: int) -> float:
        """Operations a second."""
        return self.reads[slot] + self.writes[slot]

    def take_counts(
        self, shard: int, owned: Iterable[int], members: Iterable[tuple[Counted | None, Counted]]
    ) -> None:
        """What the members of a shard counted, and before that; the first of them is the primary. Nothing
        changes unless there is something to compare its figures with.
        """
        rates: dict[int, tuple[float, float]] = {}
        keys: dict[bytes, HotKey] = {}
        at = None
        for number, (before, now) in enumerate(members):
            seconds = now.seconds_since(before)
            if before is None or seconds is None:
                if number == 0:
                    return
                continue
            at = now.at
            for slot, (reads, writes) in now.slots.items():
                known, sofar = before.slots.get(slot, (0, 0)), rates.get(slot, (0.0, 0.0))
                rates[slot] = (
                    sofar[0] + max(0, reads - known[0]) / seconds,
                    sofar[1] + max(0, writes - known[1]) / seconds,
                )
            _add_keys(keys, shard, before, now, seconds)
        if at is None:
            return
        for slot in owned:
            self.reads[slot], self.writes[slot] = rates.get(slot, (0.0, 0.0))
        hottest = sorted(keys.values(), key=lambda key: (-(key.reads + key.writes), key.key))
        self.keys[shard] = tuple(hottest[:MOST_KEYS])
        self.heard[shard] = at

    def take_sizes(self, shard: int, at: float, sizes: Iterable[tuple[int, Sequence[int]]]) -> None:
        """Of runs of slots: the first, and bytes of each."""
        for first, counts in sizes:
            for slot, size in enumerate(counts, first):
                if slot < SLOT_COUNT:
                    self.bytes[slot] = size
        self.sized[shard] = at

    def retain(self, shards: Iterable[int]) -> None:
        """Forget shards that are gone."""
        kept = set(shards)
        for known in (self.keys, self.heard, self.sized):
            for gone in known.keys() - kept:
                del known[gone]

    def weights(self, topology: Topology, by: By) -> list[int] | None:
        """Of each slot, for the planner; None: each counts alike. Raises NotMeasured."""
        if by is By.SLOTS:
            return None
        known = self.sized if by is By.BYTES else self.heard
        owners = set(unpack_owners(topology.slot_owners))
        for shard in topology.shards:
            if shard.id in owners and shard.id not in known:
                raise NotMeasured(
                    f"the {by} of shard {shard.id}'s slots is not known yet: "
                    "its primary was not heard since the coordinator started"
                )
        if by is By.BYTES:
            return list(self.bytes)
        return [round(self.of(slot) * LOAD_SCALE) for slot in range(SLOT_COUNT)]


def _add_keys(keys: dict[bytes, HotKey], shard: int, before: Counted, now: Counted, seconds: float) -> None:
    reads = max(0, now.reads - before.reads) / seconds
    for key, part in now.hot_reads:
        known = keys.get(key, HotKey(shard, key))
        keys[key] = HotKey(shard, key, known.reads + part * reads, known.writes)
    writes = max(0, now.writes - before.writes) / seconds
    for key, part in now.hot_writes:
        known = keys.get(key, HotKey(shard, key))
        keys[key] = HotKey(shard, key, known.reads, known.writes + part * writes)
