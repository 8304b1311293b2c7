"""The decisions of a running coordinator, with a store in memory and a clock of our own."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aidb_coordinator.clock import Clock
from aidb_coordinator.control import Control, Process, Report
from aidb_coordinator.events import EventLog
from aidb_coordinator.health import MemberState, Probe
from aidb_coordinator.leases import Renewal
from aidb_coordinator.registration import DiskClaim
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import Conflict, Store, Stored, StoreError
from aidb_coordinator.topology import Cut, Member, Role, Topology

from aidb import errors
from tests.coordinator.values import primary, replica, router, topology


@dataclass
class MemoryStore(Store):
    """`gate` closed: a swap waits. `failure`: raised by the next swap. `ends`: of the leadership."""

    stored: Stored = field(default_factory=lambda: Stored(replace(topology(), term=5), "1"))
    gate: threading.Event = field(default_factory=threading.Event)
    failure: StoreError | None = None
    swaps: int = 0
    ends: float = math.inf

    def __post_init__(self) -> None:
        self.gate.set()

    def load(self) -> Stored:
        return self.stored

    def swap(self, expected: str | None, topology: Topology) -> Stored:
        assert self.gate.wait(20)
        assert expected == self.stored.revision
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.swaps += 1
        self.stored = Stored(topology, str(int(self.stored.revision) + 1))
        return self.stored

    def leads_until(self) -> float:
        return self.ends

    def close(self) -> None:
        self.gate.set()


class Cluster:
    """A control and fake members."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.settings = settings
        self.store = MemoryStore()
        self.now = 1000.0
        self.wall = 1_700_000_000_000
        self.listening: set[str] = set()
        self._directory = directory
        self._start()

    def restart(self) -> None:
        """The coordinator dies and starts again: memory is lost, the term is new."""
        self.events.write(self.events.unwritten())
        self._start()

    def _start(self) -> None:
        stored = self.store.stored
        self.store.stored = Stored(replace(stored.topology, term=stored.topology.term + 1), stored.revision)
        self.events = EventLog(self._directory / "events.jsonl", lambda: self.wall)
        self.control = Control(
            self.store,
            self.store.stored,
            self.events,
            Settings(data=self._directory, listen="-", **self.settings),
            self._probe,
            Clock(lambda: self.now, lambda: self.wall),
        )

    async def _probe(self, address: str) -> Probe:
        return Probe.SERVING if address in self.listening else Probe.REFUSED

    def process(self, process_id: str, uid: str = "uid-1") -> Process:
        return Process(process_id, 42, uid, self.wall)

    async def register(
        self, member: Member, process_id: str = "p", disk: tuple[str, int, int] = ("disk-a", 0, 0)
    ) -> int:
        disk_id, disk_epoch, last_lsn = disk
        claim = (
            DiskClaim(disk_id, disk_epoch, disk_epoch + 1, last_lsn) if member.role is Role.PRIMARY else None
        )
        return await self.control.register(member, self.process(process_id), claim)

    def beat(
        self,
        member: Member,
        process_id: str = "p",
        epoch: int = 0,
        term: int = 0,
        state: MemberState = MemberState.HEALTHY,
    ) -> Renewal:
        process = self.process(process_id)
        return self.control.heartbeat(Report(member.name, process, epoch, term, state, "", 7, 8, 9, 10))

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events.after(0, 1000)]

    def state(self, member: Member) -> MemberState:
        return self.control.roster.verdict(member.name).state


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.store.close()
    await made.control.document.close()


async def test_a_primary_gets_its_epoch_its_lease_and_its_cuts(cluster: Cluster) -> None:
    assert await cluster.register(primary()) == 1
    assert cluster.beat(primary(), epoch=1) is Renewal.RENEWED
    assert await cluster.register(primary(), "q", ("disk-a", 1, 77)) == 2
    assert cluster.control.topology.shards[0].cuts == (Cut(1, 77),)
    assert cluster.beat(primary(), "p", epoch=1) is Renewal.REGISTER_AGAIN, "its predecessor holds nothing"
    assert cluster.beat(primary(), "q", epoch=2) is Renewal.RENEWED


async def test_an_answer_that_was_lost_is_given_again(cluster: Cluster) -> None:
    assert await cluster.register(primary()) == 1
    version = cluster.control.topology.version
    assert await cluster.register(primary()) == 1, "same process, disk still without the epoch"
    assert await cluster.register(primary(), "q") == 1, "next process, disk still without the epoch"
    assert cluster.control.topology.version == version


async def test_refusals_change_nothing_and_are_told(cluster: Cluster) -> None:
    await cluster.register(primary())
    swaps = cluster.store.swaps
    with pytest.raises(errors.RegistrationRefused, match="belongs to disk disk-a"):
        await cluster.register(primary(), "q", ("disk-b", 0, 0))
    with pytest.raises(errors.InvalidArgument):
        await cluster.register(replace(replica(), address=""))
    with pytest.raises(errors.WrongCluster):
        await cluster.control.register(replica(), cluster.process("q", uid="other"), None)
    assert cluster.store.swaps == swaps
    assert cluster.reasons()[-1] == "RegistrationRefused"


async def test_flapping_health_never_raises_the_topologys_version(cluster: Cluster) -> None:
    await cluster.register(primary())
    await cluster.register(replica())
    version, swaps = cluster.control.topology.version, cluster.store.swaps
    health = cluster.control.roster.version
    for _ in range(5):
        cluster.beat(replica())
        assert cluster.state(replica()) is MemberState.HEALTHY
        cluster.control.probed(replica().name, "p", Probe.REFUSED)
        assert cluster.state(replica()) is MemberState.FAILED
        cluster.control.probed(replica().name, "p", Probe.SERVING)
        await cluster.register(replica(), "p")
    cluster.control.leave(replica().name, "p")
    assert (cluster.control.topology.version, cluster.store.swaps) == (version, swaps)
    assert cluster.control.roster.version > health


async def test_after_a_restart_heartbeats_go_on_without_registration(cluster: Cluster) -> None:
    await cluster.register(primary())
    await cluster.register(replica())
    health = cluster.control.roster.version
    cluster.restart()
    assert cluster.control.roster.version > health, "views of the new term are newer"
    assert cluster.state(replica()) is MemberState.UNKNOWN
    assert cluster.beat(primary(), epoch=1, term=6) is Renewal.RENEWED
    assert cluster.beat(replica()) is Renewal.RENEWED
    assert cluster.beat(primary(), "impostor", epoch=1) is Renewal.REGISTER_AGAIN
    assert cluster.beat(router()) is Renewal.REGISTER_AGAIN, "it was never registered"


async def test_after_a_restart_a_wrong_epoch_is_not_believed(cluster: Cluster) -> None:
    await cluster.register(primary())
    await cluster.register(primary(), "q", ("disk-a", 1, 5))
    cluster.restart()
    assert cluster.beat(primary(), "p", epoch=1) is Renewal.REGISTER_AGAIN
    assert cluster.state(primary()) is MemberState.UNKNOWN
    assert cluster.beat(primary(), "q", epoch=2) is Renewal.RENEWED


async def test_a_failed_primary_raises_one_alert_over_restarts_until_it_recovers(
    cluster: Cluster,
) -> None:
    await cluster.register(primary())
    cluster.beat(primary(), epoch=1)
    cluster.now += 3.0
    cluster.control.tick()
    cluster.control.probed(primary().name, "p", Probe.REFUSED)
    cluster.restart()
    cluster.control.probed(primary().name, "", Probe.REFUSED)
    assert cluster.reasons().count("PrimaryFailed") == 1
    await cluster.register(primary(), "q", ("disk-a", 1, 5))
    assert "PrimaryRecovered" not in cluster.reasons()
    cluster.beat(primary(), "q", epoch=2)
    assert cluster.reasons().count("PrimaryRecovered") == 1


async def test_a_name_in_use_by_a_live_process_elsewhere_is_not_taken(cluster: Cluster) -> None:
    await cluster.register(replica())
    cluster.beat(replica())
    elsewhere = replace(replica(), address="127.0.0.1:9999")
    cluster.listening.add(replica().address)
    with pytest.raises(errors.Busy, match=replica().address) as caught:
        await cluster.register(elsewhere, "q")
    assert caught.value.retryable
    assert caught.value.retry_after
    assert cluster.beat(replica()) is Renewal.RENEWED

    cluster.listening.clear()
    await cluster.register(elsewhere, "q")
    assert cluster.control.topology.members[replica().name].address == elsewhere.address


async def test_a_pod_that_was_replaced_waits_only_until_its_old_address_was_silent_for_long(
    cluster: Cluster,
) -> None:
    await cluster.register(primary())
    cluster.beat(primary(), epoch=1)
    cluster.listening.add(primary().address)  # nobody refuses there, nor answers
    elsewhere = primary(address="127.0.0.1:9999")
    cluster.now += 2.0
    with pytest.raises(errors.Busy) as caught:
        await cluster.register(elsewhere, "q", ("disk-a", 1, 5))
    assert caught.value.retry_after == pytest.approx(0.5)
    cluster.now += 0.6
    cluster.control.tick()
    assert await cluster.register(elsewhere, "q", ("disk-a", 1, 5)) == 2


async def test_no_lease_outlives_the_leadership_not_even_that_of_a_new_epoch(cluster: Cluster) -> None:
    await cluster.register(primary())
    cluster.store.ends = cluster.now + 9.0
    assert cluster.beat(primary(), epoch=1) is Renewal.NOT_NOW
    with pytest.raises(errors.Busy, match="about to end"):
        await cluster.register(primary(), "q", ("disk-a", 1, 5))
    cluster.store.ends = cluster.now + 11.0
    assert await cluster.register(primary(), "q", ("disk-a", 1, 5)) == 2, "it was granted, and never served"
    assert cluster.beat(primary(), "q", epoch=2) is Renewal.RENEWED


async def test_a_copy_of_a_live_primarys_disk_is_not_let_in(cluster: Cluster) -> None:
    await cluster.register(primary())
    cluster.beat(primary(), epoch=1)
    cluster.listening.add(primary().address)
    copy = primary(address="127.0.0.1:9999", name="another-name")
    with pytest.raises(errors.Busy):
        await cluster.register(copy, "q", ("disk-a", 1, 5))
    assert cluster.control.topology.shards[0].epoch == 1


async def test_a_member_that_saw_a_higher_term_is_not_renewed_and_told_once(cluster: Cluster) -> None:
    await cluster.register(primary())
    for _ in range(3):
        with pytest.raises(errors.StaleTerm):
            cluster.beat(primary(), epoch=1, term=99)
    assert cluster.reasons().count("StaleTerm") == 1


async def test_a_clock_beyond_the_bound_gets_no_lease(cluster: Cluster) -> None:
    await cluster.register(primary())
    ahead = replace(cluster.process("p"), wall_ms=cluster.wall + 600)
    report = Report(primary().name, ahead, 1, 0, MemberState.HEALTHY, "", 0, 0, 0, 0)
    assert cluster.control.heartbeat(report) is Renewal.NOT_NOW
    assert cluster.state(primary()) is MemberState.FAILED
    for _ in range(4):
        renewal = cluster.beat(primary(), epoch=1)
    assert renewal is Renewal.RENEWED
    assert cluster.state(primary()) is MemberState.HEALTHY


async def test_leaving_is_final_for_the_process_and_only_its_own(cluster: Cluster) -> None:
    await cluster.register(primary())
    cluster.beat(primary(), epoch=1)
    cluster.control.leave(primary().name, "somebody")
    assert cluster.state(primary()) is MemberState.HEALTHY
    cluster.control.leave(primary().name, "p")
    assert cluster.beat(primary(), epoch=1) is Renewal.NOT_NOW, "a heartbeat that the leaving overtook"
    assert cluster.state(primary()) is MemberState.LEFT
    assert "PrimaryFailed" not in cluster.reasons()
    assert await cluster.register(primary(), "q", ("disk-a", 1, 5)) == 2


async def test_a_clean_stop_of_the_whole_cluster_raises_no_alert_at_the_next_start(cluster: Cluster) -> None:
    await cluster.register(primary())
    await cluster.register(replica(), "r")
    cluster.control.leave(primary().name, "p")
    cluster.control.leave(replica().name, "r")
    cluster.restart()
    cluster.control.probed(primary().name, "", Probe.REFUSED)
    cluster.now += 100
    cluster.control.tick()
    assert cluster.state(primary()) is cluster.state(replica()) is MemberState.LEFT
    assert not [reason for reason in cluster.reasons() if reason.endswith("Failed")]
    assert await cluster.register(primary(), "q", ("disk-a", 1, 5)) == 2
    cluster.beat(primary(), "q", epoch=2)
    assert cluster.state(primary()) is MemberState.HEALTHY


async def test_a_heartbeat_counts_more_than_an_old_line_that_its_member_left(cluster: Cluster) -> None:
    await cluster.register(primary())
    cluster.control.leave(primary().name, "p")
    cluster.events.write(cluster.events.unwritten())
    await cluster.register(primary(), "q", ("disk-a", 1, 5))
    cluster.events.unwritten()  # the coordinator dies before this line is written
    cluster.restart()
    assert cluster.beat(primary(), "q", epoch=2) is Renewal.RENEWED
    assert cluster.state(primary()) is MemberState.HEALTHY


async def test_only_the_stopped_can_be_forgotten(cluster: Cluster) -> None:
    await cluster.register(primary())
    await cluster.register(replica())
    cluster.beat(replica())
    for member in (primary(), replica()):
        with pytest.raises(errors.RegistrationRefused):
            await cluster.control.forget(member.name)
    cluster.control.leave(replica().name, "p")
    await cluster.control.forget(replica().name)
    await cluster.control.forget("never-seen")
    assert replica().name not in cluster.control.topology.members
    assert cluster.control.roster.observation(replica().name) is None
    assert cluster.beat(replica()) is Renewal.REGISTER_AGAIN


async def test_members_that_start_together_share_swaps(cluster: Cluster) -> None:
    cluster.store.gate.clear()
    starts = [asyncio.create_task(cluster.register(replica(0, number))) for number in range(100)]
    await asyncio.sleep(0)
    cluster.store.gate.set()
    await asyncio.gather(*starts)
    assert len(cluster.control.topology.shards[0].replicas) == 100
    assert cluster.store.swaps <= 2


async def test_a_caller_who_gives_up_does_not_undo_the_swap(cluster: Cluster) -> None:
    cluster.store.gate.clear()
    start = asyncio.create_task(cluster.register(primary()))
    await asyncio.sleep(0)
    start.cancel()
    cluster.store.gate.set()
    assert await cluster.register(replica()) == 0
    assert cluster.control.topology == cluster.store.stored.topology
    assert cluster.control.topology.shards[0].epoch == 1
    assert await cluster.register(primary()) == 1, "and gets its epoch when it asks again"


async def test_a_swap_that_fails_is_answered_and_leaves_the_old_state(cluster: Cluster) -> None:
    cluster.store.failure = StoreError("No space left on device")
    with pytest.raises(StoreError, match="No space"):
        await cluster.register(primary())
    assert cluster.control.topology.shards[0].fresh
    assert not cluster.control.document.broken.done()
    assert await cluster.register(primary()) == 1


async def test_when_somebody_else_writes_the_coordinator_must_stop(cluster: Cluster) -> None:
    cluster.store.failure = Conflict("somebody else")
    with pytest.raises(Conflict):
        await cluster.register(primary())
    with pytest.raises(Conflict):
        await cluster.control.document.broken
