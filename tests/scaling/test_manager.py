"""What becomes of operations when others interfere, moves fail, or programs do not come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aidb_coordinator import moves, topology
from aidb_coordinator.rebalance import moves as plan_of
from aidb_coordinator.scaling import planning
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.scaling.requests import Request
from aidb_coordinator.scaling.room import Room
from aidb_coordinator.scaling.steps import PROVISION_MS
from aidb_coordinator.topology import LIVE, SlotSpan

from aidb import errors
from tests.scaling.world import Effects, World


@pytest_asyncio.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Two shards."""
    monkeypatch.setattr(planning, "MOST_SLOTS_OF_LITTLE", 1_024)
    made = World(tmp_path, 2, Effects())
    yield made
    made.cluster.store.close()


async def begun(world: World, request: Request) -> Operation:
    """Some of its moves are under way."""
    await world.round()
    await world.manager.start(request)
    return await world.run(request.id, lambda one: bool(own_moves(world, one)))


def own_moves(world: World, operation: Operation) -> list[str]:
    return [one.id for one in world.topology.moves if one.step in LIVE and operation.owns_move(one.id)]


async def test_a_move_cancelled_by_hand_ends_the_operation_which_keeps_what_has_moved(world: World) -> None:
    operation = await begun(world, Request("a", Kind.ADD_SHARD))
    cancelled = own_moves(world, operation)[0]
    await world.cluster.control.movers.cancel(cancelled)
    failed = await world.run("a")
    assert failed.state is State.FAILED
    assert f"move {cancelled} was cancelled by hand; what has moved stays" in failed.error
    assert own_moves(world, operation) == []
    await world.manager.start(Request("again", Kind.REBALANCE))
    assert (await world.run("again")).state is State.DONE
    assert max(world.topology.slot_counts.values()) <= 16384


async def test_slots_that_others_move_meanwhile_are_planned_anew(world: World) -> None:
    operation = await begun(world, Request("r", Kind.REMOVE_SHARD, shards=(1,)))
    taken = {slot for span in world.topology.moves[0].slots for slot in (span.first, span.last)}
    free = max(slot for slot in range(16384) if world.topology.owner(slot) == 0 and slot not in taken)
    await world.cluster.control.movers.start("by hand", [SlotSpan(free, free)], 0, 1)
    done = await world.run("r")
    assert done.state is State.DONE
    assert done.plans > operation.plans, "it had been planned before the slot came"
    assert world.topology.slot_counts == {0: 16384}
    assert done.moved == 8193


async def test_programs_that_do_not_come_fail_it_and_leave_nothing_behind(world: World) -> None:
    await world.round()
    world.absent.add(2)
    await world.manager.start(Request("a", Kind.ADD_SHARD, replicas=1))
    waiting = await world.run("a", lambda one: world.topology.shard(2) is not None)
    await world.round()
    assert world.manager.waits_for(waiting) == "the primary of shard 2 to serve"
    world.cluster.wall += PROVISION_MS
    failed = await world.run("a")
    assert (failed.state, failed.phase) == (State.FAILED, Phase.PROVISIONING)
    assert "the primary of shard 2 does not serve after 600 s: look at its log" in failed.error
    assert world.topology.slot_counts.keys() == {0, 1}
    assert world.provisioner.wanted.keys() == {0, 1}
    assert world.topology.free_id == 3, "its id is not given out again"


async def test_a_replica_that_keeps_the_logs_tail_stays_known_until_its_primary_lets_go(world: World) -> None:
    await world.round()
    await world.manager.start(Request("u", Kind.ADD_REPLICA, shards=(0,)))
    await world.run("u")
    await keep_tail(world, ("shard-0-replica-0",))
    await world.manager.start(Request("d", Kind.REMOVE_REPLICA, shards=(0,)))
    for _ in range(5):
        await world.round()
    going = world.manager.operations[-1]
    assert world.manager.waits_for(going) == "the archive to have what shard-0-replica-0 kept of the log"
    await keep_tail(world, ())
    assert (await world.run("d")).state is State.DONE
    assert world.topology.shards[0].replicas == ()


async def keep_tail(world: World, names: tuple[str, ...]) -> None:
    await world.cluster.control.document.commit(
        lambda document: (
            topology.set_tail_set(document, 0, names, version=document.version, same_node=True),
            None,
        )
    )


async def test_paused_it_begins_nothing_and_is_resumed_where_it_was(world: World) -> None:
    operation = await begun(world, Request("p", Kind.ADD_SHARD))
    await world.control("p", "pause")
    await world.run("p", lambda one: not own_moves(world, one))
    moved = world.topology.slot_counts
    for _ in range(3):
        await world.round()
    assert world.topology.slot_counts == moved
    assert 0 < world.manager.progress(operation).slots_done < world.manager.progress(operation).slots
    await world.control("p", "resume")
    assert (await world.run("p")).state is State.DONE
    assert plan_of(world.topology, {0, 1, 2}).moves == ()


async def test_what_is_asked_twice_begins_once_and_one_at_a_time(world: World) -> None:
    await world.round()
    first = await world.manager.start(Request("same", Kind.REBALANCE))
    assert await world.manager.start(Request("same", Kind.ADD_SHARD)) is first
    with pytest.raises(errors.Busy, match="operation same"):
        await world.manager.start(Request("other", Kind.ADD_SHARD))
    for bad in ("a.b", "x" * 49, "a\nb"):
        with pytest.raises(errors.InvalidArgument, match="no dot"):
            await world.manager.start(Request(bad, Kind.ADD_SHARD))
    with pytest.raises(errors.InvalidArgument, match="no operation nobody"):
        await world.manager.control("nobody", "pause")
    assert (await world.run("same")).state is State.DONE, "it was even before"
    assert list(moves.live(world.topology)) == []


async def test_shards_are_drained_by_free_space_where_they_have_disks_of_their_own(tmp_path: Path) -> None:
    world = World(tmp_path, 3, Effects())
    await world.round()
    for shard, size in ((0, 100 << 20), (1, 100 << 20), (2, 300 << 20)):
        world.cluster.control.roster.observation(f"shard-{shard}-primary").bytes = size  # type: ignore[union-attr]
    world.provisioner.disks = {0: Room("a", 30 << 30), 1: Room("b", 10 << 30), 2: Room("c", 0)}
    request = Request("r", Kind.REMOVE_SHARD, shards=(2,))
    _, plan, _ = await world.manager.dry_run(request)
    gained = {shard: plan.after[shard] - plan.before[shard] for shard in (0, 1)}
    assert gained[0] / gained[1] == pytest.approx(3, rel=0.01), "as their free bytes are"
    assert {move.source for move in plan.moves} == {2}, "what others have stays"
    world.provisioner.disks = {0: Room("a", 100 << 20), 1: Room("b", 100 << 20), 2: Room("c", 0)}
    with pytest.raises(errors.InvalidArgument, match=r"shard 2 has 300 MiB, .*: they have 200 MiB"):
        await world.manager.start(request)
    world.cluster.store.close()
