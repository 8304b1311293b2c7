"""Which slots and keys are called hot, and the plan that isolates one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator.hot_spots import LEAST_RATE, spots
from aidb_coordinator.isolation import isolated
from aidb_coordinator.slot_load import By, HotKey, SlotLoad
from aidb_coordinator.topology import Move, MoveStep, SlotSpan, Topology, pack_owners, unpack_owners

from aidb.slots import SLOT_COUNT
from tests.coordinator.test_rebalance import after
from tests.coordinator.values import topology


def loaded(shards: int, rates: dict[int, float], usual: float = 1.0) -> tuple[SlotLoad, Topology]:
    load = SlotLoad()
    for slot in range(SLOT_COUNT):
        load.reads[slot] = rates.get(slot, usual)
    for shard in range(shards):
        load.heard[shard] = load.sized[shard] = 0.0
    return load, topology(shards=shards)


def test_a_slot_with_a_large_part_of_its_shard_is_hot() -> None:
    load, three = loaded(3, {7: 2_000.0, 8: 200.0, 16_000: 600.0})
    found = spots(load, three)
    assert [(hot.slot, hot.shard, hot.alone) for hot in found.slots] == [(7, 0, False), (16_000, 2, False)]
    assert found.slots[0].part == pytest.approx(2_000 / (2_200 + 5_460), rel=0.01)
    assert [hot.slot for hot in spots(*loaded(3, {7: 2_000.0})).slots] == [7]


def test_an_even_load_and_an_idle_cluster_have_no_hot_slots() -> None:
    assert not spots(*loaded(3, {}, usual=100.0)).slots
    assert not spots(*loaded(3, {5: LEAST_RATE - 1}, usual=0.0)).slots
    # As many slots as one has each: a large part of a shard is nothing special.
    load, many = loaded(1, {})
    owners = [0] * (SLOT_COUNT - 10) + [1] * 10
    found = spots(load, replace(many, slot_owners=pack_owners(owners)))
    assert not found.slots


def test_keys_are_hot_by_their_part_of_reads_or_of_writes() -> None:
    load, two = loaded(2, {})
    load.writes[3] = 1_000.0
    load.keys[0] = (
        HotKey(0, b"read", reads=500.0),
        HotKey(0, b"written", writes=60.0),
        HotKey(0, b"neither", reads=300.0, writes=40.0),
    )
    load.keys[9] = (HotKey(9, b"of a shard that is gone", reads=10_000.0),)
    assert [key.key for key in spots(load, two).keys] == [b"read", b"written"]


def test_an_isolated_slot_stays_and_all_others_leave() -> None:
    load, three = loaded(3, {7: 20_000.0, 12_000: 3_000.0})
    plan = isolated(three, 7, load.weights(three, By.LOAD))
    then = after(three, plan)
    owners = unpack_owners(then.slot_owners)
    assert [slot for slot in range(SLOT_COUNT) if owners[slot] == 0] == [7]
    assert {move.source for move in plan.moves} == {0}, "the others keep what they have"
    # The others are even by load, although one slot has as much as thousands.
    assert abs(plan.after[1] - plan.after[2]) / plan.after[1] < 0.01
    assert not isolated(then, 7, load.weights(then, By.LOAD)).moves


def test_what_cannot_be_isolated_is_refused() -> None:
    with pytest.raises(ValueError, match="shard 0 is the only one"):
        isolated(topology(shards=1), 7, None)
    with pytest.raises(ValueError, match="there is no slot 16384"):
        isolated(topology(shards=2), 16_384, None)
    move = Move("m", 1, (SlotSpan(7, 9),), 0, 1, 1, 1, MoveStep.PREPARED)
    with pytest.raises(ValueError, match="slot 7 moves already"):
        isolated(replace(topology(shards=2), moves=(move,)), 7, None)
    others = isolated(replace(topology(shards=2), moves=(move,)), 10, None)
    assert others.after[0] == 1
