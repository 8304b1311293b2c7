"""Operations whose coordinator dies after each of their effects: just before the next one is the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aidb_coordinator.scaling import planning
from aidb_coordinator.scaling.operation import Kind, State
from aidb_coordinator.scaling.requests import Request
from aidb_coordinator.topology import LIVE

from tests.scaling.world import Effects, World

Story = Callable[[World], Awaitable[None]]


async def grows(world: World) -> None:
    await world.start(Request("a", Kind.ADD_SHARD, count=2, replicas=1))
    assert (await world.run("a")).state is State.DONE
    assert world.topology.slot_counts == {0: 5462, 1: 5461, 2: 5461}
    assert world.provisioner.wanted == {0: (), 1: (0,), 2: (0,)}


async def shrinks(world: World) -> None:
    await world.start(Request("r", Kind.REMOVE_SHARD, shards=(0, 2)))
    assert (await world.run("r")).state is State.DONE
    assert world.topology.slot_counts == {1: 16384}
    assert world.provisioner.wanted.keys() == {1}
    assert world.topology.free_id == 3


async def is_cancelled(world: World) -> None:
    await world.start(Request("c", Kind.ADD_SHARD, count=2))
    await world.run("c", lambda one: bool(one.plan) and world.topology.slot_counts.get(1, 0) > 0)
    await world.control("c", "cancel")
    assert (await world.run("c")).state is State.CANCELLED
    assert not [move for move in world.topology.moves if move.step in LIVE]
    counts = world.topology.slot_counts
    assert sum(counts.values()) == 16384
    assert all(counts.values()), "what came and got nothing is gone"
    assert world.provisioner.wanted.keys() == counts.keys()


async def replicas_come_and_go(world: World) -> None:
    await world.start(Request("u", Kind.ADD_REPLICA, count=2, shards=(0,)))
    assert (await world.run("u")).state is State.DONE
    assert len(world.topology.shards[0].replicas) == 2
    await world.start(Request("d", Kind.REMOVE_REPLICA, shards=(0,), names=("shard-0-replica-0",)))
    assert (await world.run("d")).state is State.DONE
    assert world.provisioner.wanted[0] == (1,)
    assert [member.name for member in world.topology.shards[0].replicas] == ["shard-0-replica-1"]


@pytest.mark.parametrize(
    ("story", "shards", "most_slots"),
    [(grows, 1, 6_000), (shrinks, 3, 6_000), (is_cancelled, 1, 2_048), (replicas_come_and_go, 1, 6_000)],
)
async def test_a_coordinator_that_dies_anywhere_goes_on(
    story: Story, shards: int, most_slots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MOST_SLOTS_OF_LITTLE", most_slots)

    async def told(effects: Effects) -> None:
        directory = tmp_path / f"{effects.at}"
        directory.mkdir()
        world = World(directory, shards, effects)
        await world.round()
        effects.armed = True
        await story(world)

    whole = Effects()
    await told(whole)
    assert whole.count > 3
    for at in range(1, whole.count + 1):
        await told(Effects(at))
