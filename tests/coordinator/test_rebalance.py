"""Plans of changes of shape: after any sequence of additions and removals slots are even, for the fewest
moves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from aidb_coordinator import rebalance
from aidb_coordinator.placement import SlotMove
from aidb_coordinator.rebalance import Plan, PlannedMove, grouped
from aidb_coordinator.topology import Move, MoveStep, Shard, SlotSpan, Topology, pack_owners, unpack_owners
from hypothesis import given, settings
from hypothesis import strategies as st

from aidb.slots import SLOT_COUNT
from tests.coordinator.test_placement import fewest_moves
from tests.coordinator.values import topology as new_topology


def after(topology: Topology, plan: Plan) -> Topology:
    """The document when every move of the plan is done. Fails where a slot is not at its source."""
    owners = unpack_owners(topology.slot_owners)
    for move in plan.moves:
        for span in move.slots:
            for slot in range(span.first, span.last + 1):
                assert owners[slot] == move.source
                owners[slot] = move.target
    shards = tuple(Shard(id=shard) for shard in sorted(plan.after.keys() & set(owners)))
    return replace(topology, slot_owners=pack_owners(owners), shards=shards)


changes = st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(0, 2**32)), min_size=1, max_size=6)


@settings(max_examples=12, deadline=None)
@given(shards=st.integers(1, 12), changes=changes)
def test_slots_stay_even_for_the_fewest_moves_after_any_additions_and_removals(
    shards: int, changes: list[tuple[bool, int, int]]
) -> None:
    topology, ids, next_id = new_topology(shards=shards), set(range(shards)), shards
    for grow, count, choice in changes:
        for step in range(count):
            if grow or len(ids) == 1:
                ids.add(next_id)
                next_id += 1
            else:
                ids.remove(sorted(ids)[(choice >> step) % len(ids)])
        plan = rebalance.moves(topology, ids)
        fewest = fewest_moves(unpack_owners(topology.slot_owners), ids)
        assert plan.slot_count <= 1.2 * fewest
        topology = after(topology, plan)
        counts = Counter(unpack_owners(topology.slot_owners))
        mean = SLOT_COUNT / len(ids)
        assert set(counts) == ids
        assert all(abs(count - mean) <= max(1, 0.05 * mean) for count in counts.values())
        assert plan.after == {shard: counts[shard] for shard in set(plan.after)}


def test_moves_have_few_slots_and_neighbours_in_the_list_use_other_shards() -> None:
    plan = rebalance.moves(new_topology(shards=4), range(8), most_slots=100)
    assert all(0 < move.slot_count <= 100 for move in plan.moves)
    assert plan.slot_count == SLOT_COUNT // 2
    firsts = plan.moves[:4]
    assert len({move.source for move in firsts}) == 4
    assert plan.before == {0: 4096, 1: 4096, 2: 4096, 3: 4096, 4: 0, 5: 0, 6: 0, 7: 0}
    assert set(plan.after.values()) == {2048}


def test_what_is_even_stays() -> None:
    assert rebalance.moves(new_topology(shards=3), range(3)).moves == ()


def test_slots_that_move_already_are_counted_where_they_go_to_and_stay_in_their_moves() -> None:
    topology = new_topology(shards=2)
    whole = rebalance.moves(topology, range(3))
    first = whole.moves[0]
    under_way = Move("m", 1, first.slots, first.source, 1, first.target, 1, MoveStep.PREPARED)
    topology = replace(topology, moves=(under_way,), shards=tuple(map(Shard, range(3))))
    rest = rebalance.moves(topology, range(3))
    assert rest.slot_count == whole.slot_count - first.slot_count
    moving = {slot for span in first.slots for slot in range(span.first, span.last + 1)}
    again = {slot for move in rest.moves for span in move.slots for slot in range(span.first, span.last + 1)}
    assert not moving & again
    over = tuple(replace(under_way, step=step) for step in (MoveStep.CANCELLED, MoveStep.FAILED))
    assert rebalance.moves(replace(topology, moves=over), range(3)) == whole


def test_by_bytes_empty_slots_are_spread_too() -> None:
    topology = new_topology(shards=1)
    figures = [1_000_000 if slot < SLOT_COUNT // 2 else 0 for slot in range(SLOT_COUNT)]
    plan = rebalance.moves(topology, range(4), figures=figures)
    owners = unpack_owners(after(topology, plan).slot_owners)
    full, empty = Counter(owners[: SLOT_COUNT // 2]), Counter(owners[SLOT_COUNT // 2 :])
    assert all(abs(full[shard] - 2048) <= 0.06 * 2048 for shard in range(4))
    assert sum(empty.values()) == SLOT_COUNT // 2


def test_a_shard_that_leaves_is_given_out_by_free_space() -> None:
    topology = new_topology(shards=4)
    plan = rebalance.moves(topology, [0, 1, 2], figures=[1000] * SLOT_COUNT, free={0: 600, 1: 300, 2: 100})
    assert {move.source for move in plan.moves} == {3}
    gets: Counter[int] = Counter()
    for move in plan.moves:
        gets[move.target] += move.slot_count
    assert gets.total() == 4096
    for shard, part in ((0, 0.6), (1, 0.3), (2, 0.1)):
        assert gets[shard] == pytest.approx(part * 4096, rel=0.02)


def test_a_shard_with_next_to_nothing_can_leave_too() -> None:
    owners = [slot % 3 for slot in range(SLOT_COUNT - 1)] + [3]
    topology = replace(new_topology(shards=4), slot_owners=pack_owners(owners))
    plan = rebalance.moves(topology, [0, 1, 2], figures=[0] * SLOT_COUNT, free={0: 1, 1: 1, 2: 1})
    assert [(move.source, move.slot_count) for move in plan.moves] == [(3, 1)]


def test_spans_are_ranges() -> None:
    moves = [SlotMove(slot, 0, 1) for slot in (0, 1, 2, 7, 9, 10)] + [SlotMove(11, 2, 1)]
    assert list(grouped(moves)) == [
        PlannedMove((SlotSpan(0, 2), SlotSpan(7, 7), SlotSpan(9, 10)), 0, 1),
        PlannedMove((SlotSpan(11, 11),), 2, 1),
    ]
    assert [move.slots for move in grouped(moves, 4) if move.source == 0] == [
        (SlotSpan(0, 2), SlotSpan(7, 7)),
        (SlotSpan(9, 10),),
    ]


def test_figures_are_of_all_slots() -> None:
    with pytest.raises(ValueError, match="figures of 3 slots"):
        rebalance.moves(new_topology(), range(2), figures=[1, 2, 3])


def test_somebody_has_the_slots() -> None:
    with pytest.raises(ValueError, match="1 to 16384 shards, not 0"):
        rebalance.moves(new_topology(), [], figures=[1] * SLOT_COUNT, free={})
