"""Figures of slots and keys out of what members count."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator.slot_load import LOAD_SCALE, By, Counted, HotKey, NotMeasured, SlotLoad
from aidb_coordinator.topology import pack_owners

from aidb.slots import SLOT_COUNT
from tests.coordinator.values import topology

ALL = range(SLOT_COUNT)


def counted(at: float, slots: dict[int, tuple[int, int]], **more: object) -> Counted:
    return Counted(at, uptime=at + 100, slots=slots, **more)  # type: ignore[arg-type]


def test_rates_are_of_all_members_of_the_shard_that_owns_the_slot() -> None:
    load = SlotLoad()
    primary = (counted(10, {1: (1000, 500)}), counted(20, {1: (1100, 700), 2: (50, 0)}))
    replica = (counted(10, {}), counted(20, {1: (800, 0)}))
    load.take_counts(0, ALL, [primary, replica])
    assert (load.reads[1], load.writes[1], load.of(1)) == (90.0, 20.0, 110.0)
    assert (load.of(2), load.of(3)) == (5.0, 0.0)
    # A shard says nothing of slots that are others'.
    load.take_counts(1, [7], [(counted(10, {}), counted(20, {1: (9000, 0), 7: (10, 0)}))])
    assert (load.of(1), load.of(7)) == (110.0, 1.0)
    load.take_counts(0, ALL, [(primary[1], counted(30, {}))])
    assert load.of(1) == 0.0, "nothing was asked of late"


def test_without_a_look_before_nothing_is_known() -> None:
    load = SlotLoad()
    now = counted(20, {1: (1000, 0)})
    load.take_counts(0, ALL, [(None, now)])
    began_anew = replace(now, at=30, uptime=5)
    load.take_counts(0, ALL, [(now, began_anew)])
    assert load.heard == {}
    with pytest.raises(NotMeasured, match="load of shard 0's slots is not known yet"):
        load.weights(topology(shards=1), By.LOAD)
    # Another member's is left out until it has been heard twice.
    load.take_counts(0, ALL, [(now, counted(30, {1: (2000, 0)})), (None, counted(30, {1: (9, 9)}))])
    assert load.of(1) == 100.0


def test_keys_of_all_members_add_up() -> None:
    load = SlotLoad()
    primary = (
        counted(10, {}, reads=0, writes=0),
        counted(20, {}, reads=1000, writes=2000, hot_writes=[(b"w", 0.5)], hot_reads=[(b"r", 0.1)]),
    )
    replica = (counted(10, {}), counted(20, {}, reads=10_000, hot_reads=[(b"r", 0.2), (b"s", 0.05)]))
    load.take_counts(3, ALL, [primary, replica])
    assert load.keys[3] == (
        HotKey(3, b"r", reads=210.0),
        HotKey(3, b"w", writes=100.0),
        HotKey(3, b"s", reads=50.0),
    )
    load.retain([0])
    assert (load.keys, load.heard) == ({}, {})


def test_weights_need_every_shard_that_has_slots() -> None:
    load, two = SlotLoad(), topology(shards=2)
    assert load.weights(two, By.SLOTS) is None
    load.take_sizes(0, 1.0, [(0, [10, 20]), (100, [5])])
    with pytest.raises(NotMeasured, match="bytes of shard 1"):
        load.weights(two, By.BYTES)
    empty = replace(two, slot_owners=pack_owners([0] * SLOT_COUNT))
    sizes = load.weights(empty, By.BYTES)
    assert sizes is not None and (sizes[0], sizes[1], sizes[100], sum(sizes)) == (10, 20, 5, 35)
    load.take_counts(0, ALL, [(counted(0, {}), counted(100, {5: (1, 0)}))])
    weights = load.weights(empty, By.LOAD)
    assert weights is not None and weights[5] == LOAD_SCALE // 100
