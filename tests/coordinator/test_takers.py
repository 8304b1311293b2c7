"""The coordinator's part of a takeover, with a clock of our own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aidb_coordinator.health import MemberState
from aidb_coordinator.leases import Renewal
from aidb_coordinator.registration import DiskClaim
from aidb_coordinator.takers import Asked, Course

from aidb import errors
from tests.coordinator.test_control import Cluster
from tests.coordinator.values import primary

GRACE = 30.0
LEASE = 10.0
NEXT = primary(address="127.0.0.1:7009", name="shard-0-primary-2")


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Its primary is healthy; its lease began just now."""
    made = Cluster(tmp_path, objects="file:///objects", takeover_grace=GRACE, same_machine=True)
    await made.register(primary())
    made.listening.add(primary().address)
    made.beat(primary(), epoch=1)
    await made.control.takers.tick()
    yield made
    made.store.close()
    await made.control.document.close()


async def ask(cluster: Cluster, epoch: int = 0, take: bool = False, disk: str = "disk-b") -> Course:
    return await cluster.control.takers.ask(Asked(0, 2, disk, epoch, take, "a step"))


async def pass_time(cluster: Cluster, seconds: float) -> None:
    cluster.now += seconds
    cluster.control.tick()
    await cluster.control.takers.tick()


async def test_a_primary_that_stays_gone_is_succeeded(cluster: Cluster) -> None:
    await pass_time(cluster, GRACE - 1)
    assert cluster.state(primary()) is MemberState.FAILED
    assert cluster.control.topology.shards[0].successor is None
    await pass_time(cluster, 2)
    successor = cluster.control.topology.shards[0].successor
    assert successor is not None
    assert not successor.planned
    assert cluster.reasons()[-1] == "TakeoverWanted"
    cluster.restart()
    assert cluster.control.topology.shards[0].successor == successor, "the wish is durable"
    with pytest.raises(errors.Busy, match="leads for"):
        await ask(cluster, take=True)
    await pass_time(cluster, LEASE)
    course = await ask(cluster, take=True)
    assert course.successor is not None
    assert course.successor.epoch == 2
    assert cluster.control.takers.step(0) == ("a step", 0)
    assert await cluster.control.register(NEXT, cluster.process("q"), DiskClaim("disk-b", 1, 2, 5)) == 2
    assert (await ask(cluster)).published


async def test_one_that_comes_back_in_time_ends_the_wish(cluster: Cluster) -> None:
    await pass_time(cluster, GRACE + 1)
    assert cluster.control.topology.shards[0].successor is not None
    assert await cluster.register(primary(), "q", ("disk-a", 1, 5)) == 2
    assert cluster.control.topology.shards[0].successor is None
    with pytest.raises(errors.RegistrationRefused, match="none is wanted"):
        await ask(cluster)


async def test_one_that_merely_was_silent_ends_it_too(cluster: Cluster) -> None:
    await pass_time(cluster, GRACE + 1)
    assert cluster.beat(primary(), epoch=1) is Renewal.RENEWED
    await pass_time(cluster, 0.1)
    assert cluster.control.topology.shards[0].successor is None
    assert cluster.reasons()[-1] == "SuccessorWithdrawn"


async def test_nothing_is_renewed_once_an_epoch_was_taken(cluster: Cluster) -> None:
    await pass_time(cluster, GRACE + 1)
    await ask(cluster, take=True)
    assert cluster.beat(primary(), epoch=1) is Renewal.REGISTER_AGAIN
    with pytest.raises(errors.RegistrationRefused, match="kept aside"):
        await cluster.register(primary(), "q", ("disk-a", 1, 5))


async def test_who_hands_over_is_not_renewed_but_not_sent_away(cluster: Cluster) -> None:
    await cluster.control.takers.want(0, planned=True, reason="drain")
    assert cluster.beat(primary(), epoch=1) is Renewal.RENEWED, "until the epoch is taken it serves as ever"
    await ask(cluster, take=True)
    assert cluster.beat(primary(), epoch=1) is Renewal.NOT_NOW
    cluster.beat(primary(), epoch=1, state=MemberState.FAILED)
    assert "PrimaryFailed" not in cluster.reasons(), "it was told to stop"


async def test_a_taker_that_was_overtaken_is_told(cluster: Cluster) -> None:
    await pass_time(cluster, GRACE + 1)
    first = await ask(cluster, take=True)
    await ask(cluster, take=True, disk="disk-c")
    assert first.successor is not None
    with pytest.raises(errors.RegistrationRefused, match="is over"):
        await ask(cluster, epoch=first.successor.epoch)
    with pytest.raises(errors.RegistrationRefused, match="begin anew"):
        await cluster.control.register(NEXT, cluster.process("q"), DiskClaim("disk-b", 1, 2, 5))


async def test_what_makes_no_sense_is_not_wanted(cluster: Cluster) -> None:
    want = cluster.control.takers.want
    with pytest.raises(errors.RegistrationRefused, match="hand-over loses nothing"):
        await want(0, planned=False, reason="impatience")
    await pass_time(cluster, 5.0)
    with pytest.raises(errors.RegistrationRefused, match="can hand nothing over"):
        await want(0, planned=True, reason="drain")
    with pytest.raises(errors.RegistrationRefused, match="never had a primary"):
        await want(1, planned=False, reason="gone")
    with pytest.raises(errors.InvalidArgument, match="no shard 9"):
        await want(9, planned=False, reason="gone")


async def test_only_a_process_that_is_known_to_be_gone_is_dead(cluster: Cluster) -> None:
    await pass_time(cluster, GRACE + 1)
    seen = cluster.control.roster.observation(primary().name)
    assert seen is not None
    seen.pid = os.getpid()
    assert not (await ask(cluster)).predecessor_dead
    seen.pid = 0
    assert not (await ask(cluster)).predecessor_dead
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    seen.pid = child
    assert (await ask(cluster)).predecessor_dead
