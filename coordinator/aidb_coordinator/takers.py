"""Who is taking over which shard: decides that somebody should, gives out epochs, remembers how far they are.

Everything that counts is in the document; steps are for people, and in memory only.
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb import errors
from aidb.local.processes import Process as SystemProcess
from aidb_coordinator import succession, takeover
from aidb_coordinator.clock import Clock
from aidb_coordinator.document import Document
from aidb_coordinator.events import EventLog, Severity
from aidb_coordinator.health import MemberState
from aidb_coordinator.roster import Roster
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import StoreError
from aidb_coordinator.takeover import Decision
from aidb_coordinator.topology import Shard, Successor, Topology, TopologyError

MAX_STEP = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What a taker says. `epoch`: the one that it took before, 0 = none; `take`: it wants one now."""

    shard: int
    incarnation: int
    disk_id: str
    epoch: int
    take: bool
    step: str


@dataclass(frozen=True, slots=True)
class Course:
    """What it is told. `published`: its disk holds the shard already, or may begin it. Neither that nor a
    `successor`: it is to restore the shard (D9).
    """

    shard: Shard
    published: bool
    successor: Successor | None
    predecessor_dead: bool


class Takers:
    """Methods raise subclasses of AidbError, and StoreError."""

    def __init__(
        self, document: Document, roster: Roster, events: EventLog, settings: Settings, clock: Clock
    ) -> None:
        self._document = document
        self._roster = roster
        self._events = events
        self._settings = settings
        self._clock = clock
        self._started = clock.monotonic()
        self._healthy: dict[int, float] = {}
        self._steps: dict[int, tuple[str, float]] = {}

    @property
    def _topology(self) -> Topology:
        return self._document.topology

    def step(self, shard: int) -> tuple[str, int] | None:
        """What the shard's taker last said, and the age of that in ms."""
        heard = self._steps.get(shard)
        return None if heard is None else (heard[0], int((self._clock.monotonic() - heard[1]) * 1000))

    async def ask(self, asked: Asked) -> Course:
        """Takes an epoch when asked for one, and tells how things are.

        Raises RegistrationRefused when its incarnation is not wanted, or another taker was later; Busy while
        this coordinator leads for less than T (D2).
        """
        shard = self._shard(asked.shard)
        if shard.disk_id == asked.disk_id or (shard.fresh and asked.incarnation == shard.incarnation):
            return Course(shard, True, None, False)
        if shard.recovery is not None and asked.incarnation == shard.incarnation:
            self._steps[shard.id] = asked.step[:MAX_STEP], self._clock.monotonic()
            return Course(shard, False, None, False)
        successor = shard.successor
        if successor is None or successor.incarnation != asked.incarnation:
            raise errors.RegistrationRefused(succession.not_wanted(shard, asked.incarnation))
        if asked.epoch and (asked.epoch, asked.disk_id) != (successor.epoch, successor.disk_id):
            raise errors.RegistrationRefused(
                f"epoch {successor.epoch} of shard {shard.id} was taken by disk {successor.disk_id}: "
                f"epoch {asked.epoch} of disk {asked.disk_id} is over"
            )
        if asked.take:
            shard, successor = await self._take(asked, successor)
        self._steps[shard.id] = asked.step[:MAX_STEP], self._clock.monotonic()
        return Course(shard, False, successor, self._predecessor_is_dead(shard))

    async def _take(self, asked: Asked, successor: Successor) -> tuple[Shard, Successor]:
        leading = self._clock.monotonic() - self._started
        lease = self._settings.lease_ms / 1000
        if not successor.planned and leading < lease:
            raise errors.Busy(
                f"this coordinator leads for {leading:.1f} s: no shard is taken over before {lease:g} s",
                retry_after=lease - leading,
            )
        taken = await self._commit(
            lambda topology: succession.take(
                topology, asked.shard, incarnation=asked.incarnation, disk_id=asked.disk_id
            )
        )
        self._events.add(
            Severity.NORMAL if taken.planned else Severity.WARNING,
            "EpochTaken",
            f"shard {asked.shard}",
            f"epoch {taken.epoch} by incarnation {taken.incarnation} (disk {taken.disk_id})",
        )
        return self._shard(asked.shard), taken

    async def want(self, shard_id: int, *, planned: bool, reason: str) -> Successor:
        """Wants the next incarnation. Raises RegistrationRefused when that makes no sense."""
        shard = self._shard(shard_id)
        if not self._settings.objects:
            raise errors.RegistrationRefused(
                "there is no object store to take over from: start the coordinator and the primaries with "
                "--objects"
            )
        healthy = shard.primary is not None and self._state(shard) is MemberState.HEALTHY
        if planned and not healthy:
            raise errors.RegistrationRefused(
                f"the primary of shard {shard_id} is not healthy and can hand nothing over: "
                "aidb-admin take-over does without it"
            )
        if not planned and healthy:
            raise errors.RegistrationRefused(
                f"the primary of shard {shard_id} is healthy: aidb-admin hand-over loses nothing"
            )
        wanted = await self._commit(
            lambda topology: succession.want(topology, shard_id, planned=planned, reason=reason)
        )
        self._events.add(
            Severity.NORMAL if planned else Severity.ALERT,
            "HandOverWanted" if planned else "TakeoverWanted",
            f"shard {shard_id}",
            f"incarnation {wanted.incarnation}: {reason}",
        )
        return wanted

    async def withdraw(self, shard_id: int, reason: str) -> None:
        """Wants none any more. Raises RegistrationRefused when it has taken an epoch."""
        if self._shard(shard_id).successor is None:
            return
        await self._commit(lambda topology: (succession.withdraw(topology, shard_id), None))
        self._events.add(Severity.NORMAL, "SuccessorWithdrawn", f"shard {shard_id}", reason)

    async def tick(self) -> None:
        """Time has passed: primaries may have stayed gone, or be back."""
        now = self._clock.monotonic()
        for shard in self._topology.shards:
            if shard.primary is None:
                continue
            verdict = self._roster.verdict(shard.primary.name)
            if verdict.state is MemberState.HEALTHY:
                self._healthy[shard.id] = now
            gone = now - self._healthy.get(shard.id, self._started)
            decision = takeover.decide(
                shard, verdict, gone, now - self._started, self._settings.takeover_rules
            )
            try:
                if decision is Decision.WANT:
                    reason = f"{shard.primary.name} is gone for {gone:.0f} s: {verdict.reason}"
                    await self.want(shard.id, planned=False, reason=reason)
                elif decision is Decision.WITHDRAW:
                    await self.withdraw(shard.id, f"{shard.primary.name} is back")
            except (errors.AidbError, StoreError) as error:
                self._events.add(Severity.WARNING, "TakeoverNotDecided", f"shard {shard.id}", str(error))

    async def _commit(self, transition: succession.Transition[succession.Outcome]) -> succession.Outcome:
        try:
            return await self._document.commit(transition)
        except TopologyError as error:
            raise errors.RegistrationRefused(str(error)) from error

    def _shard(self, shard_id: int) -> Shard:
        shard = self._topology.shard(shard_id)
        if shard is None:
            raise errors.InvalidArgument(f"there is no shard {shard_id}")
        return shard

    def _state(self, shard: Shard) -> MemberState:
        return (
            MemberState.UNKNOWN if shard.primary is None else self._roster.verdict(shard.primary.name).state
        )

    def _predecessor_is_dead(self, shard: Shard) -> bool:
        """Its process served the published epoch, nobody else can any more, and it is gone from this
        machine.
        """
        seen = None if shard.primary is None else self._roster.observation(shard.primary.name)
        if not self._settings.same_machine or seen is None or not seen.pid:
            return False
        return SystemProcess.of(seen.pid) is None
