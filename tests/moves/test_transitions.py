"""Moves as transitions of the document: what each step demands, and what ends an attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator import codec, moves, restoring, succession
from aidb_coordinator import topology as topologies
from aidb_coordinator.restoring import Restored
from aidb_coordinator.topology import (
    Cut,
    Member,
    MoveStep,
    Role,
    SlotEpoch,
    SlotSpan,
    Topology,
    TopologyError,
    check,
    pack_owners,
)

from aidb.slots import SLOT_COUNT
from tests.coordinator.values import topology as empty

SPANS = (SlotSpan(10, 12), SlotSpan(20, 20))


def member(shard: int) -> Member:
    return Member(f"shard-{shard}-primary", "127.0.0.1:7001", Role.PRIMARY, shard)


def granted(topology: Topology, shard: int, epoch: int, cut: Cut | None = None) -> Topology:
    return topologies.grant_epoch(topology, member(shard), epoch=epoch, disk_id=f"disk-{shard}", cut=cut)


def two_shards() -> Topology:
    """Shard 0 in epoch 3 has all slots, shard 1 in epoch 5 none."""
    bare = replace(empty(2), slot_owners=pack_owners([0] * SLOT_COUNT))
    return granted(granted(bare, 0, 3), 1, 5)


def at(step: MoveStep) -> Topology:
    """With a move `m` at that step."""
    topology, _ = moves.add(two_shards(), "m", SPANS, 0, 1)
    if step is MoveStep.WAITING:
        return topology
    topology, _ = moves.prepare(topology, "m")
    if step is MoveStep.PREPARED:
        return topology
    topology, _ = moves.fence(topology, "m", 1, source_lsn=40)
    if step is MoveStep.FENCED:
        return topology
    return moves.commit(topology, "m", 1, since_lsn=77, at_ms=1)[0]


def test_moves_wait_for_programs_that_know_their_records() -> None:
    before = two_shards()
    assert (before.feature_level, at(MoveStep.WAITING).feature_level) == (1, 2)
    primary = before.shards[1].primary
    assert primary is not None
    old = replace(before.shards[1], primary=replace(primary, feature_max=1))
    mixed = replace(before, shards=(before.shards[0], old))
    with pytest.raises(TopologyError, match="feature level 2, which shard-1-primary cannot speak"):
        moves.add(mixed, "m", SPANS, 0, 1)


def test_a_move_goes_through_its_steps_and_changes_owners_at_the_last() -> None:
    before = two_shards()
    versions = [at(step).version for step in MoveStep if step in (*topologies.LIVE, MoveStep.COMMITTED)]
    assert versions == [before.version + number for number in (1, 2, 3, 4)]
    prepared = moves.find(at(MoveStep.PREPARED), "m")
    assert prepared is not None
    assert (prepared.source_epoch, prepared.target_epoch) == (3, 5)
    fenced = at(MoveStep.FENCED)
    assert fenced.slot_owners == before.slot_owners
    assert fenced.slot_epochs == tuple(SlotEpoch(span, 1, 0) for span in SPANS)
    assert [shard.least_lsn for shard in fenced.shards] == [0, 40 + 2 * moves.LSN_ROOM], "V1"
    done = at(MoveStep.COMMITTED)
    check(done)
    assert done.slot_counts == {0: SLOT_COUNT - 4, 1: 4}
    assert done.slot_epochs == tuple(SlotEpoch(span, 1, 77) for span in SPANS)
    assert codec.from_json(codec.to_json(done)) == done


def test_a_repeated_wish_is_one_move_and_another_one_of_its_slots_is_refused() -> None:
    waiting = at(MoveStep.WAITING)
    assert moves.add(waiting, "m", SPANS, 0, 1)[0] is waiting
    for spans, source, target, why in (
        ((SlotSpan(12, 13),), 0, 1, "part of move m"),
        ((SlotSpan(1, 1),), 1, 0, "not at shard 1"),
        ((SlotSpan(1, 1),), 0, 0, "has its slots already"),
        ((SlotSpan(1, 1),), 0, 7, "does not exist"),
        ((), 0, 1, "one slot at least"),
        ((SlotSpan(1, SLOT_COUNT),), 0, 1, "slots are 0 to"),
    ):
        with pytest.raises(TopologyError, match=why):
            moves.add(waiting, "n", spans, source, target)
    with pytest.raises(TopologyError, match="another move m"):
        moves.add(waiting, "m", (SlotSpan(1, 1),), 0, 1)


@pytest.mark.parametrize("step", topologies.UNDER_WAY)
@pytest.mark.parametrize("shard", [0, 1])
def test_the_swap_that_raises_an_epoch_aborts_the_attempt(step: MoveStep, shard: int) -> None:
    """M1 (m10, m11, m14): a restart in place, a taking, and a restore of one shard."""
    topology = at(step)
    wanted, _ = succession.want(topology, shard, planned=False, reason="gone")
    taken, _ = succession.take(wanted, shard, incarnation=2, disk_id="other")
    restored = restoring.with_restored(topology, shard, Restored(9, "disk", 100))
    for after in (granted(topology, shard, 9), taken, restored):
        move = moves.find(after, "m")
        assert move is not None
        assert (move.step, move.attempt, move.source_epoch) == (MoveStep.WAITING, 2, 0)
        with pytest.raises(TopologyError, match="attempt 2"):
            moves.fence(after, "m", 1, source_lsn=40)
        with pytest.raises(TopologyError, match="attempt 2"):
            moves.abort(after, "m", 1, "why")
        with pytest.raises(TopologyError, match="attempt 2"):
            moves.commit(after, "m", 1, since_lsn=77, at_ms=1)
    with pytest.raises(TopologyError, match="being taken over"):
        moves.prepare(taken, "m")


def test_the_published_epoch_granted_again_and_other_shards_disturb_nothing() -> None:
    topology = at(MoveStep.FENCED)
    again = topologies.grant_epoch(topology, member(0), epoch=3, disk_id="disk-0", cut=None)
    assert moves.find(again, "m") == moves.find(topology, "m")
    three = replace(empty(3), slot_owners=topology.slot_owners, shards=(*topology.shards, empty(3).shards[2]))
    three = replace(three, moves=topology.moves)
    assert moves.find(granted(three, 2, 1), "m") == moves.find(topology, "m")


def test_an_abort_leaves_the_slots_and_begins_the_next_attempt() -> None:
    aborted, move = moves.abort(at(MoveStep.FENCED), "m", 1, "the disk is full")
    assert (move.step, move.attempt, move.reason) == (MoveStep.WAITING, 2, "the disk is full")
    assert aborted.slot_owners == two_shards().slot_owners
    again, _ = moves.prepare(aborted, "m")
    fenced, _ = moves.fence(again, "m", 2, source_lsn=10)
    assert fenced.slot_epochs == tuple(SlotEpoch(span, 2, 0) for span in SPANS), "each fence is a new epoch"
    last = replace(again, moves=(replace(again.moves[0], attempt=moves.MAX_ATTEMPTS),))
    _, failed = moves.abort(last, "m", moves.MAX_ATTEMPTS, "again")
    assert failed.step is MoveStep.FAILED


@pytest.mark.parametrize("step", topologies.LIVE)
def test_a_cancelled_move_is_over_and_a_committed_one_stays(step: MoveStep) -> None:
    cancelled, move = moves.cancel(at(step), "m")
    assert move.step is MoveStep.CANCELLED
    assert cancelled.slot_owners == two_shards().slot_owners
    with pytest.raises(TopologyError):
        moves.commit(cancelled, "m", 1, since_lsn=77, at_ms=1)
    assert moves.add(cancelled, "n", SPANS, 0, 1)[1].step is MoveStep.WAITING
    committed = at(MoveStep.COMMITTED)
    assert moves.cancel(committed, "m")[0] is committed


def test_few_of_those_that_ended_are_kept() -> None:
    topology = two_shards()
    for number in range(moves.MAX_ENDED + 5):
        topology, _ = moves.add(topology, f"m{number}", SPANS, 0, 1)
        topology, _ = moves.cancel(topology, f"m{number}")
    kept = [move.id for move in topology.moves]
    assert kept == [f"m{number}" for number in range(5, moves.MAX_ENDED + 5)]


def test_no_shard_sends_or_takes_more_than_its_limit() -> None:
    topology = two_shards()
    for number in range(5):
        topology, _ = moves.add(topology, f"m{number}", (SlotSpan(number, number),), 0, 1)
    chosen = moves.startable(topology, lambda _: True, 2)
    assert [move.id for move in chosen] == ["m0", "m1"]
    topology, _ = moves.prepare(topology, "m1")
    assert [move.id for move in moves.startable(topology, lambda _: True, 2)] == ["m0"]
    assert [move.id for move in moves.startable(topology, lambda move: move.id != "m0", 2)] == ["m2"]


def test_all_shards_together_have_a_limit_if_they_are_given_one() -> None:
    topology = replace(empty(6), slot_owners=pack_owners([slot % 6 for slot in range(SLOT_COUNT)]))
    for shard in range(6):
        topology = granted(topology, shard, 1)
    for number in range(3):
        source = 2 * number
        topology, _ = moves.add(topology, f"m{number}", (SlotSpan(source, source),), source, source + 1)
    assert len(moves.startable(topology, lambda _: True, 2)) == 3
    assert [move.id for move in moves.startable(topology, lambda _: True, 2, 2)] == ["m0", "m1"]
    topology, _ = moves.prepare(topology, "m2")
    assert [move.id for move in moves.startable(topology, lambda _: True, 2, 2)] == ["m0"]
