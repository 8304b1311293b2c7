"""The planner: even within one slot, fewest moves, the same plan for the same input."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from aidb_coordinator.placement import SlotMove, apply, first_table, plan, sums
from aidb_coordinator.placement.receivers import hand_out
from aidb_coordinator.ring import Ring
from aidb_coordinator.topology import NOBODY, unpack_owners
from hypothesis import given, settings
from hypothesis import strategies as st

from aidb.slots import SLOT_COUNT

shard_sets = st.sets(st.integers(0, 60), min_size=1, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> list[int]:
    """Tables of runs, some slots with nobody."""
    owners: list[int] = []
    choices = [*sorted(draw(shard_sets)), NOBODY]
    lengths = draw(st.lists(st.integers(1, 4000), min_size=1, max_size=40))
    for length in lengths:
        owners += [draw(st.sampled_from(choices))] * length
    last = draw(st.sampled_from(choices))
    return (owners + [last] * SLOT_COUNT)[:SLOT_COUNT]


def fewest_moves(owners: list[int], shards: set[int]) -> int:
    """Slots that cannot stay: whatever is above the best even targets."""
    counts = Counter(owners)
    floor, extra = divmod(SLOT_COUNT, len(shards))
    sizes = sorted((counts[shard] for shard in shards), reverse=True)
    stay = sum(min(size, floor + (1 if rank < extra else 0)) for rank, size in enumerate(sizes))
    return SLOT_COUNT - stay


@settings(max_examples=30, deadline=None)
@given(owners=tables(), shards=shard_sets)
def test_plans_are_even_minimal_and_the_same_each_time(owners: list[int], shards: set[int]) -> None:
    moves = plan(owners, shards, Ring(shards))
    counts = Counter(apply(owners, moves))
    assert set(counts) <= shards
    assert max(counts.values()) - min(counts[shard] for shard in shards) <= 1
    assert len(moves) == fewest_moves(owners, shards)
    assert len({move.slot for move in moves}) == len(moves)
    assert moves == plan(list(owners), sorted(shards, reverse=True), Ring(sorted(shards)))


@settings(max_examples=30, deadline=None)
@given(shards=shard_sets)
def test_an_even_table_stays(shards: set[int]) -> None:
    owners = unpack_owners(first_table(shards))
    assert plan(owners, shards, Ring(shards)) == []


def runs(owners: list[int]) -> int:
    return 1 + sum(1 for slot in range(1, SLOT_COUNT) if owners[slot] != owners[slot - 1])


@pytest.mark.parametrize("shards", [1, 3, 1000])
def test_the_first_table_is_one_range_for_each_shard(shards: int) -> None:
    owners = unpack_owners(first_table(range(shards)))
    counts = Counter(owners)
    assert set(counts) == set(range(shards))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert runs(owners) == shards


def test_a_new_shard_costs_few_ranges() -> None:
    """What it gets is cut where ranges meet: each of two neighbours gives its end."""
    owners = unpack_owners(first_table(range(4)))
    grown = apply(owners, plan(owners, range(5), Ring(range(5))))
    assert runs(grown) <= 4 + 3
    for shard in range(5, 32):
        grown = apply(grown, plan(grown, range(shard + 1), Ring(range(shard + 1))))
    assert runs(grown) < 400, "pieces from the middle of ranges would make about 1,000"


def test_the_slots_of_a_shard_that_leaves_lengthen_their_neighbours_ranges() -> None:
    owners = unpack_owners(first_table(range(3)))
    moves = plan(owners, [0, 2], Ring([0, 2]))
    assert runs(apply(owners, moves)) == 2


def test_the_ring_breaks_ties() -> None:
    """A stretch that any of several shards could take goes to the one that the ring prefers."""
    ring = Ring(range(9))
    for first in range(0, SLOT_COUNT - 10, 1024):
        table = [NOBODY] * SLOT_COUNT
        hand_out(table, [(first, first + 9)], [1] * SLOT_COUNT, dict.fromkeys(range(9), 10), ring)
        assert set(table[first : first + 10]) == {next(ring.preferred(first, 1))}


weight_lists = st.integers(0, 2**32).map(
    lambda seed: [random.Random(seed).randint(1, 1000) for _ in range(SLOT_COUNT)]
)


@settings(max_examples=15, deadline=None)
@given(owners=tables(), shards=shard_sets, weights=weight_lists)
def test_by_weight_shards_end_as_even_as_slots_allow(
    owners: list[int], shards: set[int], weights: list[int]
) -> None:
    mean = sum(weights) / len(shards)
    moves = plan(owners, shards, Ring(shards), weights=weights, tolerance=int(mean / 20))
    totals = sums(apply(owners, moves), weights)
    assert set(totals) <= shards
    assert max(totals.values()) <= 1.05 * mean + 1000
    assert min(totals[shard] for shard in shards) >= 0.95 * mean - 1000
    before = sums(owners, weights)
    must = sum(max(0, weight - (mean if shard in shards else 0)) for shard, weight in before.items())
    assert sum(weights[move.slot] for move in moves) <= 1.2 * must + 1000 * len(before)


def test_a_slot_that_is_too_heavy_stays_and_the_others_leave() -> None:
    owners = unpack_owners(first_table(range(4)))
    weights = [1] * SLOT_COUNT
    weights[100] = 10 * SLOT_COUNT
    moves = plan(owners, range(4), Ring(range(4)), weights=weights, tolerance=SLOT_COUNT // 20)
    after = apply(owners, moves)
    assert after[100] == owners[100]
    assert after.count(owners[100]) == 1, "the hot slot is alone on its shard"
    others = [after.count(shard) for shard in range(4) if shard != owners[100]]
    assert max(others) - min(others) <= 2 * SLOT_COUNT // 20


def test_shards_within_the_tolerance_are_left_alone_and_pinned_slots_stay() -> None:
    owners = [0] * 8300 + [1] * (SLOT_COUNT - 8300)
    assert plan(owners, [0, 1], Ring([0, 1]), weights=[2] * SLOT_COUNT, tolerance=600) == []
    moves = plan(owners, [0, 1], Ring([0, 1]), pinned=range(8200, 8300))
    assert len(moves) == 8300 - SLOT_COUNT // 2
    assert not {move.slot for move in moves} & set(range(8200, 8300))


def test_a_thousand_shards_are_planned_quickly() -> None:
    """Not a timed assertion: the time is printed, a plan that walked the whole ring for each slot would
    take minutes.
    """
    started = time.perf_counter()
    owners = unpack_owners(first_table(range(1000)))
    grown = plan(owners, range(1100), Ring(range(1100)))
    shrunk = plan(owners, range(100, 1000), Ring(range(100, 1000)))
    print(f"three plans for a thousand shards: {time.perf_counter() - started:.2f} s")
    assert len(grown) == fewest_moves(owners, set(range(1100)))
    assert len(shrunk) == fewest_moves(owners, set(range(100, 1000)))


@pytest.mark.parametrize("shards", [0, SLOT_COUNT + 1])
def test_a_cluster_has_at_least_one_shard_and_at_most_one_for_each_slot(shards: int) -> None:
    with pytest.raises(ValueError, match="shards"):
        first_table(range(shards))


def test_a_move_from_where_the_slot_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="slot 5 belongs to shard 1"):
        apply([1] * SLOT_COUNT, [SlotMove(5, 2, 3)])


def test_the_ring_names_each_shard_once_and_stays_put_when_others_come() -> None:
    ring, larger = Ring(range(5)), Ring(range(6))
    for slot in range(0, SLOT_COUNT, 97):
        order = list(ring.preferred(slot, 10))
        assert sorted(order) == list(range(5))
        assert [shard for shard in larger.preferred(slot, 10) if shard != 5] == order
    assert list(Ring([]).preferred(0, 3)) == []
