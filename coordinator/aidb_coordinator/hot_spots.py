"""Which slots and keys are hot: what people, and plans, have to deal with one by one. Pure.

A slot is hot when it has so large a part of its shard's load that other places of other slots cannot even it
out, and is far above the usual slot: only the second would name slots of idle clusters, only the first every
slot of a cluster with as many shards as slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aidb.slots import SLOT_COUNT
from aidb_coordinator.slot_load import HotKey, SlotLoad
from aidb_coordinator.topology import Topology, unpack_owners

MOST_SLOTS = 16
MOST_KEYS = 16
# Part of what is asked of its shard; so many times the mean of the cluster's slots; operations a second.
LEAST_PART = 0.05
TIMES_THE_MEAN = 8
LEAST_RATE = 50.0


@dataclass(frozen=True, slots=True)
class HotSlot:
    """Rates a second. part: of what is asked of its shard, 0 to 1. alone: its shard has no other slot."""

    slot: int
    shard: int
    reads: float
    writes: float
    bytes: int
    part: float
    alone: bool


@dataclass(frozen=True, slots=True)
class Spots:
    """As of one sample. rates: reads and writes a second of each shard that was heard, and when it was.
    slots, keys: the hottest first.
    """

    rates: Mapping[int, tuple[float, float]]
    heard: Mapping[int, float]
    slots: Sequence[HotSlot]
    keys: Sequence[HotKey]


NOTHING = Spots({}, {}, (), ())


def spots(load: SlotLoad, topology: Topology) -> Spots:
    rates = _shard_rates(load, topology)
    hottest = sorted(_hot_slots(load, topology, rates), key=lambda hot: (-(hot.reads + hot.writes), hot.slot))
    return Spots(rates, dict(load.heard), hottest[:MOST_SLOTS], _hot_keys(load, rates))


def _shard_rates(load: SlotLoad, topology: Topology) -> Mapping[int, tuple[float, float]]:
    rates = {shard.id: (0.0, 0.0) for shard in topology.shards if shard.id in load.heard}
    for slot, owner in enumerate(unpack_owners(topology.slot_owners)):
        if owner in rates:
            reads, writes = rates[owner]
            rates[owner] = (reads + load.reads[slot], writes + load.writes[slot])
    return rates


def _hot_slots(
    load: SlotLoad, topology: Topology, rates: Mapping[int, tuple[float, float]]
) -> Iterator[HotSlot]:
    mean = sum(map(sum, rates.values())) / SLOT_COUNT
    least = max(LEAST_RATE, TIMES_THE_MEAN * mean)
    for slot, owner in enumerate(unpack_owners(topology.slot_owners)):
        rate = load.of(slot)
        if owner not in rates or rate < least or rate < LEAST_PART * sum(rates[owner]):
            continue
        yield HotSlot(
            slot=slot,
            shard=owner,
            reads=load.reads[slot],
            writes=load.writes[slot],
            bytes=load.bytes[slot],
            part=rate / sum(rates[owner]),
            alone=topology.slot_counts[owner] == 1,
        )


def _hot_keys(load: SlotLoad, rates: Mapping[int, tuple[float, float]]) -> list[HotKey]:
    """Of each shard those that have `LEAST_PART` of its reads or its writes."""
    found = []
    for shard, (reads, writes) in rates.items():
        for key in load.keys.get(shard, ()):
            is_read = key.reads >= max(LEAST_RATE, LEAST_PART * reads)
            is_written = key.writes >= max(LEAST_RATE, LEAST_PART * writes)
            if is_read or is_written:
                found.append(key)
    found.sort(key=lambda key: (-(key.reads + key.writes), key.key))
    return found[:MOST_KEYS]
