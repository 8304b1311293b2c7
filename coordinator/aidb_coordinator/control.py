"""The coordinator's state and the decisions on it: applies the pure parts to requests, to time and to probes.

One event loop owns everything here, so there are no locks. A change of the topology counts, and is
answered, once the store has it (`document`); health, leases and what members report are in memory only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aidb import errors
from aidb_coordinator import registration
from aidb_coordinator import topology as topologies
from aidb_coordinator.changes import ChangeLog
from aidb_coordinator.clock import Clock
from aidb_coordinator.document import Document
from aidb_coordinator.events import EventLog, Severity
from aidb_coordinator.health import MemberState, Probe
from aidb_coordinator.leases import Leases, Renewal
from aidb_coordinator.movers import Movers
from aidb_coordinator.registration import DiskClaim, Refusal
from aidb_coordinator.restores import Restores
from aidb_coordinator.roster import Change, Roster
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import Store, Stored
from aidb_coordinator.takers import Takers
from aidb_coordinator.topology import Member, Role, Topology
from aidb_coordinator.watch import Signal

_MAX_STALE_TERMS_TOLD = 1_024


@dataclass(frozen=True, slots=True)
class Process:
    """The process that speaks for a member; `id` is random, `wall_ms` its clock (0: not told)."""

    id: str
    pid: int
    cluster_uid: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a heartbeat says. `term` is the highest that the member has seen (D2)."""

    name: str
    process: Process
    epoch: int
    term: int
    state: MemberState
    reason: str
    keys: int
    bytes: int
    applied_lsn: int
    staleness_ms: int


class Control:
    """Methods raise subclasses of errors.AidbError; what they raise has changed nothing."""

    def __init__(
        self,
        store: Store,
        stored: Stored,
        events: EventLog,
        settings: Settings,
        probe: Callable[[str], Awaitable[Probe]],
        clock: Clock | None = None,
        changes: ChangeLog | None = None,
    ) -> None:
        """`probe` asks the program at an address for its health. `changes` are of the topology."""
        self._probe = probe
        self.settings = settings
        self.clock = clock or Clock()
        self.events = events
        self.changes = changes
        if changes is not None:
            changes.begin(stored.topology)
        self.changed = Signal()
        self.started = self.clock.monotonic()
        self.document = Document(store, stored, self._topology_changed)
        self.leads_until = store.leads_until
        self.leases = Leases(settings.lease_ms / 1000, self.leads_until)
        self.roster = Roster(settings.health_rules, version=stored.topology.term << 32)
        self.roster.follow(stored.topology.members, self.started)
        for name in events.left() & self.topology.members.keys():
            # After a clean stop of the whole cluster nobody is missing: no alert when it starts again.
            self.roster.left(name, self.started)
        self.takers = Takers(self.document, self.roster, events, settings, self.clock)
        self.restores = Restores(self.document, events, settings, self.clock)
        self.movers = Movers(self.document, self.roster, events, settings, self.clock)
        self._failed = events.open_failures()
        self._stale_term_told: set[str] = set()
        events.add(
            Severity.NORMAL,
            "CoordinatorStarted",
            "coordinator",
            f"cluster {self.topology.cluster_uid}, term {self.topology.term}, "
            f"topology version {self.topology.version}",
        )

    @property
    def topology(self) -> Topology:
        return self.document.topology

    @property
    def view_key(self) -> tuple[int, int]:
        """Versions of the topology and of the health set: what distinguishes two views."""
        return self.topology.version, self.roster.version

    async def register(self, member: Member, process: Process, claim: DiskClaim | None) -> int:
        """Records a member that starts; primaries come with a `claim` and get their epoch, others get 0.

        Raises InvalidArgument, RegistrationRefused, WrongCluster, Busy (the name is still in use, or other
        shards of its restore are not ready), StoreError.
        """
        if problem := registration.malformed(member, claim):
            raise errors.InvalidArgument(problem)
        self.check_cluster(process.cluster_uid)
        if member.role is Role.PRIMARY and (shard := self.topology.shard(member.shard)) and shard.fenced:
            raise errors.Busy(f"shard {shard.id} is fenced by people: it has no primary", retry_after=2.0)
        if not self._is_successor(member, claim):
            await self._check_place(member, process)
        self.restores.check_turn(member.shard, claim)
        outcome = await self.document.commit(lambda topology: registration.admit(topology, member, claim))
        if isinstance(outcome, Refusal):
            self.events.add(Severity.WARNING, "RegistrationRefused", member.name, outcome.message)
            raise errors.RegistrationRefused(outcome.message)
        now = self.clock.monotonic()
        if member.role is Role.PRIMARY and not self.leases.covered(now):
            # Its epoch may be published: it was never served, and is granted again (D10).
            raise errors.Busy(
                "this coordinator's leadership is about to end: it gives out no lease",
                retry_after=self.leases.duration / 10,
            )
        if member.role is Role.PRIMARY:
            self.leases.grant(member.shard, outcome.epoch, process.id, now)
            message = f"epoch {outcome.epoch} of shard {member.shard} at {member.address}"
            self.events.add(Severity.NORMAL, "EpochGranted", member.name, message)
        else:
            self.events.add(Severity.NORMAL, "MemberRegistered", member.name, f"at {member.address}")
        self._announce(self.roster.registered(member.name, process.id, process.pid, now))
        return outcome.epoch

    def heartbeat(self, report: Report) -> Renewal:
        """Renews a primary's lease and takes the report of any member. Raises StaleTerm, WrongCluster."""
        self.check_cluster(report.process.cluster_uid)
        self._check_term(report)
        member = self.topology.members.get(report.name)
        seen = self.roster.observation(report.name)
        if member is None or seen is None:
            return Renewal.REGISTER_AGAIN
        if seen.process_id not in ("", report.process.id):
            return Renewal.REGISTER_AGAIN
        if seen.left and seen.process_id == report.process.id:
            # On its way before the member left, or a drain: leaving is final for this process.
            return Renewal.NOT_NOW
        now = self.clock.monotonic()
        renewal = self._renew(member, report, now)
        if renewal is Renewal.REGISTER_AGAIN:
            return renewal
        seen.left = False
        seen.process_id, seen.pid = report.process.id, report.process.pid or seen.pid
        seen.keys, seen.bytes = report.keys, report.bytes
        seen.applied_lsn, seen.staleness_ms = report.applied_lsn, report.staleness_ms
        if report.process.wall_ms:
            seen.clock.observe(report.process.wall_ms, self.clock.wall_ms())
        seen.heartbeat(now, report.state, report.reason)
        self._announce(self.roster.settle(report.name, now))
        return Renewal.NOT_NOW if self._clock_is_off(report.name) else renewal

    def leave(self, name: str, process_id: str) -> None:
        """A clean stop; of a process that is not the member's any more it changes nothing."""
        member = self.topology.members.get(name)
        seen = self.roster.observation(name)
        if member is None or seen is None or seen.process_id not in ("", process_id):
            return
        if member.role is Role.PRIMARY:
            self.leases.release(member.shard, process_id)
        self._announce(self.roster.left(name, self.clock.monotonic()))

    async def forget(self, name: str) -> None:
        """Drops a stopped replica or router that will not come back from the topology. Raises
        RegistrationRefused.
        """
        member = self.topology.members.get(name)
        if member is None:
            return
        state = self.roster.verdict(name).state
        if member.role is Role.PRIMARY or state not in (MemberState.LEFT, MemberState.FAILED):
            raise errors.RegistrationRefused(
                f"{name} is {state.name.lower()}: only stopped replicas and routers can be forgotten"
            )
        await self.document.commit(lambda topology: (topologies.forget_member(topology, name), None))
        self.events.add(Severity.NORMAL, "MemberForgotten", name, "removed from the topology")

    async def fence(self, shard_id: int, fenced: bool) -> None:
        """People want it to be without a primary, or not any more. Raises InvalidArgument, StoreError."""
        try:
            await self.document.commit(
                lambda topology: (topologies.set_fenced(topology, shard_id, fenced), None)
            )
        except topologies.TopologyError as error:
            raise errors.InvalidArgument(str(error)) from error
        reason = "ShardFenced" if fenced else "ShardUnfenced"
        self.events.add(Severity.WARNING, reason, f"shard {shard_id}", "asked for by an administrator")

    async def set_tail_set(
        self, name: str, process_id: str, epoch: int, version: int, members: tuple[str, ...]
    ) -> None:
        """What the primary ``name`` asks for, of its shard's published epoch. Raises NotPrimary, Conflict,
        StoreError.
        """
        primary = self.topology.members.get(name)
        seen = self.roster.observation(name)
        if primary is None or primary.role is not Role.PRIMARY or seen is None:
            raise errors.NotPrimary(f"{name} is no primary of this cluster")
        if seen.process_id not in ("", process_id):
            raise errors.NotPrimary(f"another process speaks for {name} now")

        def change(topology: Topology) -> tuple[Topology, None]:
            shard = topology.shard(primary.shard)
            if shard is None or shard.epoch != epoch or shard.primary is None or shard.primary.name != name:
                raise topologies.TopologyError(f"epoch {epoch} of shard {primary.shard} is over")
            return topologies.set_tail_set(
                topology, shard.id, members, version=version, same_node=self.settings.tail_same_node
            ), None

        try:
            await self.document.commit(change)
        except topologies.TopologyError as error:
            raise errors.Conflict(str(error)) from error
        said = ", ".join(members) or "nobody"
        self.events.add(
            Severity.NORMAL, "TailSetChanged", f"shard-{primary.shard}", f"{said} keeps the log's tail"
        )

    def probed(self, name: str, process_id: str, result: Probe) -> None:
        self._announce(self.roster.probed(name, process_id, result, self.clock.monotonic()))

    def tick(self, late: float = 0.0) -> None:
        """Time has passed: heartbeats may be missing. ``late``: seconds for which nobody read any."""
        self._announce(self.roster.tick(self.clock.monotonic(), late))

    def _renew(self, member: Member, report: Report, now: float) -> Renewal:
        if member.role is not Role.PRIMARY:
            return Renewal.RENEWED
        shard = self.topology.shard(member.shard)
        if shard is not None and shard.fenced:
            return Renewal.NOT_NOW
        if shard is not None and shard.successor is not None and shard.successor.epoch:
            # D3: from the taking on nothing is renewed. One that hands over has its own lease left to end by.
            return Renewal.NOT_NOW if shard.successor.planned else Renewal.REGISTER_AGAIN
        published = 0 if shard is None else shard.epoch
        return self.leases.renew(member.shard, published, report.epoch, report.process.id, now)

    def _clock_is_off(self, name: str) -> bool:
        seen = self.roster.observation(name)
        return seen is not None and abs(seen.clock.skew_ms()) > self.settings.clock_bound_ms

    def check_cluster(self, uid: str) -> None:
        """Raises WrongCluster when `uid`, if any, is another's."""
        if uid and uid != self.topology.cluster_uid:
            raise errors.WrongCluster(
                f"this is cluster {self.topology.cluster_uid}, the caller belongs to {uid}: "
                "check the coordinator's address and the data directory"
            )

    async def _check_place(self, member: Member, process: Process) -> None:
        """Two live processes must not take turns under one name, nor two copies of a primary's disk under
        one id.
        """
        holder = self._predecessor(member)
        if holder is None or holder.address == member.address:
            return
        seen = self.roster.observation(holder.name)
        alive = self.roster.verdict(holder.name).state in (MemberState.HEALTHY, MemberState.STARTING)
        if seen is None or not alive or seen.process_id == process.id:
            return
        if await self._probe(holder.address) is not Probe.REFUSED:
            raise errors.Busy(
                f"{holder.name} lives at {holder.address}: stop it before {member.name} at {member.address} "
                "takes its place",
                retry_after=self._silent_in(seen.last_heartbeat or seen.known_since),
            )

    def _silent_in(self, heard: float) -> float:
        """Seconds until a member that is not heard any more counts as failed: a pod that was replaced has
        another address, and at the old one nobody refuses.
        """
        timeout = self.settings.heartbeat_timeout_ms / 1000
        return min(timeout, max(timeout / 10, heard + timeout - self.clock.monotonic()))

    def _is_successor(self, member: Member, claim: DiskClaim | None) -> bool:
        """It does not wait for the one before it to be gone: its epoch has ended that one's."""
        shard = self.topology.shard(member.shard)
        successor = None if shard is None else shard.successor
        return successor is not None and claim is not None and claim.disk_id == successor.disk_id

    def _predecessor(self, member: Member) -> Member | None:
        """Whose place `member` would take."""
        shard = self.topology.shard(member.shard)
        if member.role is Role.PRIMARY and shard is not None and shard.primary is not None:
            return shard.primary
        return self.topology.members.get(member.name)

    def _check_term(self, report: Report) -> None:
        """D2. A member that saw a higher term shows that this coordinator's document is an old copy, or was
        taken over.
        """
        if report.term <= self.topology.term:
            return
        message = (
            f"{report.name} has seen term {report.term}, this coordinator has {self.topology.term}: "
            "it is out of date"
        )
        if report.name not in self._stale_term_told and len(self._stale_term_told) < _MAX_STALE_TERMS_TOLD:
            self._stale_term_told.add(report.name)
            self.events.add(Severity.ALERT, "StaleTerm", "coordinator", message)
        raise errors.StaleTerm(message + "; start the coordinator with the newest data directory")

    def _topology_changed(self, before: Topology, by: list[str]) -> None:
        if self.changes is not None:
            self.changes.changed(before, self.topology, by)
        self.roster.follow(self.topology.members, self.clock.monotonic())
        # A primary that was succeeded is no member any more, and nobody's failure.
        self._failed.intersection_update(self.topology.members)
        self.changed.notify()

    def _announce(self, changes: Iterable[Change]) -> None:
        """Tells the world what changed in the members' health."""
        told = False
        for change in changes:
            told = True
            member = self.topology.members.get(change.name)
            if member is not None:
                self._tell(member, change)
        if told:
            self.changed.notify()

    def _tell(self, member: Member, change: Change) -> None:
        role = member.role.name.capitalize()
        state = change.after.state
        if state is MemberState.FAILED and self._hands_over(member):
            return
        if state is MemberState.FAILED and member.name not in self._failed:
            self._failed.add(member.name)
            severity = Severity.ALERT if member.role is Role.PRIMARY else Severity.WARNING
            self.events.add(
                severity, f"{role}Failed", member.name, f"{change.after.reason} ({member.address})"
            )
        elif state is MemberState.HEALTHY and member.name in self._failed:
            self._failed.discard(member.name)
            self.events.add(Severity.NORMAL, f"{role}Recovered", member.name, f"healthy at {member.address}")
        elif state is MemberState.LEFT:
            self.events.add(Severity.NORMAL, f"{role}Left", member.name, "stopped cleanly")

    def _hands_over(self, member: Member) -> bool:
        """It is on its way out: that it answers no more is no alert."""
        shard = self.topology.shard(member.shard)
        successor = None if shard is None or member.role is not Role.PRIMARY else shard.successor
        return successor is not None and successor.planned and successor.epoch > 0
