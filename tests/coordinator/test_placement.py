"""The planner: even within one slot, fewest moves, the same plan for the same input."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from aidb_coordinator.placement import SlotMove, apply, first_table, plan
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


@settings(max_examples=60, deadline=None)
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


def test_the_first_table_follows_the_ring_in_runs() -> None:
    shards = range(3)
    ring = Ring(shards)
    owners = unpack_owners(first_table(shards))
    assert sorted(Counter(owners).values()) == [5461, 5461, 5462]
    liked = sum(owner == next(ring.preferred(slot, 1)) for slot, owner in enumerate(owners))
    assert liked > 0.85 * SLOT_COUNT
    runs = sum(1 for slot in range(1, SLOT_COUNT) if owners[slot] != owners[slot - 1])
    assert runs < 400, "scans and moves name ranges of slots, not thousands of single ones"


def test_a_new_shard_takes_mostly_slots_that_the_ring_gives_it() -> None:
    owners = unpack_owners(first_table(range(4)))
    ring = Ring(range(5))
    moves = plan(owners, range(5), ring)
    assert {move.target for move in moves} == {4}
    liked = sum(next(ring.preferred(move.slot, 1)) == 4 for move in moves)
    assert liked > 0.7 * len(moves)


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
