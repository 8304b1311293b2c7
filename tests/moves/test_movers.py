"""The coordinator's part of moves, with a store in memory and a clock of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aidb_coordinator import movers
from aidb_coordinator.movers import Progress, Report
from aidb_coordinator.topology import Move, MoveStep, SlotSpan

from aidb import errors
from tests.coordinator.test_control import Cluster
from tests.coordinator.values import primary

FENCE = 10.0
NOTHING = Progress("", 0, 0, 0, 0, 0)
MEMBERS = [primary(shard, f"127.0.0.1:700{shard}") for shard in range(3)]


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three healthy primaries."""
    made = Cluster(tmp_path, fence_seconds=FENCE)
    for number, member in enumerate(MEMBERS):
        await made.register(member, disk=(f"disk-{number}", 0, 0))
    beat(made)
    yield made
    made.store.close()
    await made.control.document.close()


def beat(cluster: Cluster) -> None:
    for member in MEMBERS:
        cluster.listening.add(member.address)
        shard = cluster.control.topology.shard(member.shard)
        assert shard is not None
        cluster.beat(member, epoch=shard.epoch)


def slots_of(cluster: Cluster, shard: int, count: int) -> list[SlotSpan]:
    topology = cluster.control.topology
    mine = [slot for slot in range(16384) if topology.owner(slot) == shard]
    return [SlotSpan(slot, slot) for slot in mine[:count]]


async def start(cluster: Cluster, move_id: str = "m", count: int = 3) -> Move:
    return await cluster.control.movers.start(move_id, slots_of(cluster, 0, count), 0, 1)


def move(cluster: Cluster, move_id: str = "m") -> Move:
    return next(move for move in cluster.control.topology.moves if move.id == move_id)


async def report(cluster: Cluster, move_id: str = "m", attempt: int = 1, **said: object) -> None:
    fields: dict[str, object] = {"progress": NOTHING, "process_id": "p", "epoch": 1, "name": MEMBERS[1].name}
    fields.update(said)
    await cluster.control.movers.report(Report(move_id=move_id, attempt=attempt, **fields))  # type: ignore[arg-type]


async def pass_time(cluster: Cluster, seconds: float) -> None:
    cluster.now += seconds
    beat(cluster)
    await cluster.control.movers.tick()


async def test_reports_bring_a_move_to_its_end(cluster: Cluster) -> None:
    wanted = await start(cluster)
    assert wanted.step is MoveStep.PREPARED, "it may begin at once"
    await report(cluster)
    assert move(cluster).step is MoveStep.PREPARED
    await report(cluster, since_lsn=50, final_lsn=9)
    assert move(cluster).step is MoveStep.PREPARED, "not fenced: nobody can have drained"
    await report(cluster, ready=True)
    assert move(cluster).step is MoveStep.FENCED
    cluster.restart()
    beat(cluster)
    await report(cluster, ready=True)
    await report(cluster, since_lsn=50, final_lsn=9)
    assert move(cluster).step is MoveStep.COMMITTED
    topology = cluster.control.topology
    assert all(topology.owner(span.first) == 1 for span in wanted.slots)
    await report(cluster, since_lsn=50, final_lsn=9)
    assert cluster.control.topology is topology, "a report that comes again changes nothing"
    assert "MoveCommitted" in cluster.reasons()


async def test_only_the_targets_primary_is_heard_and_of_the_present_attempt(cluster: Cluster) -> None:
    await start(cluster)
    with pytest.raises(errors.NotPrimary):
        await report(cluster, ready=True, name=MEMBERS[0].name)
    with pytest.raises(errors.NotPrimary):
        await report(cluster, ready=True, process_id="another")
    with pytest.raises(errors.Conflict):
        await report(cluster, ready=True, attempt=2)
    with pytest.raises(errors.Conflict):
        await report(cluster, ready=True, epoch=2)
    with pytest.raises(errors.Conflict):
        await report(cluster, "n", ready=True)
    assert move(cluster).step is MoveStep.PREPARED


async def test_an_attempt_that_fails_is_followed_by_another_after_a_pause(cluster: Cluster) -> None:
    await start(cluster)
    await report(cluster, failed="the disk is full")
    assert (move(cluster).step, move(cluster).reason) == (MoveStep.WAITING, "the disk is full")
    await pass_time(cluster, 0.1)
    assert move(cluster).step is MoveStep.WAITING
    await pass_time(cluster, 1.0)
    assert (move(cluster).step, move(cluster).attempt) == (MoveStep.PREPARED, 2)


async def test_a_silent_target_and_a_fence_that_lasts_are_given_up(cluster: Cluster) -> None:
    await start(cluster)
    await report(cluster)
    await pass_time(cluster, movers.SILENCE - 1)
    assert move(cluster).attempt == 1
    await pass_time(cluster, 2)
    assert move(cluster).attempt == 2
    await pass_time(cluster, 1)
    await report(cluster, attempt=2, ready=True)
    assert move(cluster).step is MoveStep.FENCED
    await pass_time(cluster, FENCE - 1)
    await report(cluster, attempt=2)
    assert move(cluster).step is MoveStep.FENCED
    await pass_time(cluster, 2)
    assert (move(cluster).step, move(cluster).attempt) == (MoveStep.WAITING, 3)
    assert cluster.reasons().count("MoveAborted") == 2


async def test_a_shard_that_is_not_well_takes_part_in_none(cluster: Cluster) -> None:
    cluster.now += 60
    cluster.beat(MEMBERS[0], epoch=1)
    cluster.control.tick()
    assert (await start(cluster)).step is MoveStep.WAITING
    await pass_time(cluster, 1)
    assert move(cluster).step is MoveStep.PREPARED


async def test_two_at_a_time_and_a_cancelled_one_makes_room(cluster: Cluster) -> None:
    slots = slots_of(cluster, 0, 9)
    for number in range(3):
        await cluster.control.movers.start(f"m{number}", slots[3 * number : 3 * number + 3], 0, 1)
    assert [move(cluster, f"m{n}").step for n in range(3)] == [
        MoveStep.PREPARED,
        MoveStep.PREPARED,
        MoveStep.WAITING,
    ]
    assert (await cluster.control.movers.cancel("m0")).step is MoveStep.CANCELLED
    await cluster.control.movers.tick()
    assert move(cluster, "m2").step is MoveStep.PREPARED
    with pytest.raises(errors.InvalidArgument):
        await cluster.control.movers.cancel("nothing")


async def test_a_restart_of_a_shard_aborts_its_moves(cluster: Cluster) -> None:
    await start(cluster)
    await report(cluster, ready=True)
    await cluster.register(MEMBERS[1], "q", ("disk-1", 1, 100))
    assert (move(cluster).step, move(cluster).attempt) == (MoveStep.WAITING, 2)
    with pytest.raises(errors.Conflict):
        await report(cluster, since_lsn=50, final_lsn=9)
