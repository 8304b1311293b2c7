"""Who may be put in place, and what is no restore: with the coordinator's document in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from aidb_coordinator.clock import Clock
from aidb_coordinator.document import Document
from aidb_coordinator.events import EventLog
from aidb_coordinator.registration import DiskClaim
from aidb_coordinator.restores import Asked, Begun, Restores
from aidb_coordinator.settings import Settings
from aidb_coordinator.topology import Recovery, Shard, Topology

from aidb import errors
from tests.coordinator.values import topology

DISK = DiskClaim("new", 5, 6, 100)


class World:
    def __init__(self, document: Topology, objects: str = "file:///nowhere") -> None:
        self.now = 100.0
        self.document = SimpleNamespace(topology=document)
        settings = Settings(data=Path("unused"), listen="127.0.0.1:0", objects=objects)
        clock = Clock(monotonic=lambda: self.now, wall_ms=lambda: 1_000_000)
        events = EventLog(Path("unused/events"), clock.wall_ms)
        self.restores = Restores(cast(Document, self.document), events, settings, clock)

    def may(self, shard: int, disk: DiskClaim = DISK) -> bool:
        try:
            self.restores.check_turn(shard, disk)
        except errors.Busy:
            return False
        return True


def recovering() -> Topology:
    shards = (*(Shard(i, epoch=5, recovery=Recovery("r", "uid-1")) for i in range(2)), Shard(2, epoch=1))
    return replace(topology(3), shards=shards)


def test_all_shards_of_a_restore_are_put_in_place_or_none() -> None:
    world = World(recovering())
    assert not world.may(0)
    assert not world.may(1, DiskClaim("old", 4, 5, 90)) or not world.may(0), "the old disk counts for nothing"
    assert world.may(1)
    assert world.may(0)
    assert world.may(2), "it is no part of it"
    world.now += 60
    assert not world.may(1), "the other one was not heard of for long"
    placed = replace(world.document.topology.shards[0], recovery=None, disk_id="new")
    world.document.topology = replace(
        world.document.topology, shards=(placed, *world.document.topology.shards[1:])
    )
    assert world.may(1), "the other one is in place"


@pytest.mark.parametrize(
    ("asked", "objects", "what"),
    [
        (Asked(clock_ms=5, lsn=6), "file:///nowhere", "not both"),
        (Asked(lsn=6), "file:///nowhere", "one shard's"),
        (Asked(lsn=6, shards=(0, 1)), "file:///nowhere", "one shard's"),
        (Asked(shards=(1, 1)), "file:///nowhere", "twice"),
        (Asked(id="a b"), "file:///nowhere", "no id"),
        (Asked(clock_ms=1_000_001), "file:///nowhere", "after now"),
        (Asked(), "", "no object store"),
    ],
)
def test_what_is_no_restore(asked: Asked, objects: str, what: str) -> None:
    world = World(topology(2), objects)
    with pytest.raises(errors.InvalidArgument, match=what):
        asyncio.run(world.restores.start(asked))


def test_who_gives_up_ends_nothing_and_who_asks_again_waits_for_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(topology(2))
    asked: list[str] = []
    go_on = asyncio.Event()

    async def slowly(what: Asked) -> Begun:
        asked.append(what.id)
        await go_on.wait()
        return Begun((0, 1), (0,))

    monkeypatch.setattr(world.restores, "_start", slowly)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.restores.start(Asked(id="one")), 0.01)
        again = asyncio.create_task(world.restores.start(Asked(id="one")))
        await asyncio.sleep(0)
        go_on.set()
        assert await again == Begun((0, 1), (0,))
        assert asked == ["one"]
        assert world.restores.asked["one"].shards == (0, 1)

    asyncio.run(run())


def test_an_operation_under_way_has_to_end_first() -> None:
    world = World(topology(2))
    world.restores.operation_under_way = lambda: "op-1"
    with pytest.raises(errors.Conflict, match="op-1"):
        asyncio.run(world.restores.start(Asked()))
