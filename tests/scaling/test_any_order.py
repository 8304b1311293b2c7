"""Whatever is asked for in whatever order, while moves are aborted and coordinators die: operations end, and
then the programs, the topology and the slots fit each other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from aidb_coordinator.movers import LONGEST_PAUSE
from aidb_coordinator.scaling import planning
from aidb_coordinator.scaling.operation import Kind, Operation, State
from aidb_coordinator.scaling.requests import Request
from aidb_coordinator.topology import LIVE, UNDER_WAY

from aidb import errors
from tests.scaling.world import Died, Effects, World

STEPS = 40
SEEDS = range(4)


class Mischief:
    """What may happen in one round, by the dice."""

    def __init__(self, world: World, effects: Effects, dice: random.Random) -> None:
        self.world, self.effects, self.dice = world, effects, dice
        self.asked = 0

    async def once(self) -> None:
        kinds: list[Callable[[], object]] = [
            self.ask,
            self.ask,
            self.control,
            self.abort,
            self.die,
            self.rest,
        ]
        result = self.dice.choice(kinds)()
        if asyncio.iscoroutine(result):
            await result

    async def ask(self) -> None:
        self.asked += 1
        ids = [shard.id for shard in self.world.topology.shards]
        kind = self.dice.choice(list(Kind))
        request = Request(
            f"op-{self.asked}",
            kind,
            count=self.dice.choice((1, 1, 2)),
            shards=() if kind is Kind.ADD_SHARD else (self.dice.choice(ids),),
            replicas=self.dice.choice((0, 1)),
        )
        try:
            await self.world.manager.start(request)
        except (errors.Busy, errors.InvalidArgument):
            return

    async def control(self) -> None:
        live = [one for one in self.world.manager.operations if not one.ended]
        if not live:
            return
        action = self.dice.choice(("pause", "resume", "resume", "cancel"))
        try:
            await self.world.manager.control(self.dice.choice(live).id, action)
        except errors.InvalidArgument:
            return

    async def abort(self) -> None:
        """A shard of a move restarts: its epoch ends the attempt."""
        moves = [move for move in self.world.topology.moves if move.step in UNDER_WAY]
        if moves:
            await self.world.fail_move(self.dice.choice(moves))

    def die(self) -> None:
        self.effects.at = self.effects.count + self.dice.randint(1, 4)
        self.effects.armed = True

    def rest(self) -> None:
        return None


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_operation_ends_and_all_fits(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MOST_SLOTS_OF_LITTLE", 4_000)
    effects = Effects()
    world = World(tmp_path, 2, effects)
    await world.round()
    effects.armed = True
    mischief = Mischief(world, effects, random.Random(seed))
    for _ in range(STEPS):
        try:
            await mischief.once()
            await world.round()
        except Died:
            world.restart()
    effects.armed = False
    for one in world.manager.operations:
        if one.state is State.PAUSED:
            await world.manager.control(one.id, "resume")
    world.cluster.now += LONGEST_PAUSE
    for one in list(world.manager.operations):
        await world.run(one.id)
    assert_all_fits(world, [one for one in world.manager.operations if one.state is State.DONE])


def assert_all_fits(world: World, done: list[Operation]) -> None:
    ids = {shard.id for shard in world.topology.shards}
    counts = world.topology.slot_counts
    assert counts.keys() == ids
    assert sum(counts.values()) == 16384
    assert world.provisioner.wanted.keys() == ids
    assert [move for move in world.topology.moves if move.step in LIVE] == []
    for shard in world.topology.shards:
        names = {member.name for member in shard.replicas}
        assert names == set(world.provisioner.observe()[shard.id])
    assert done, "nothing came of anything"
