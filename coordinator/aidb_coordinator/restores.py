"""Restores of shards, or of the whole cluster, while the coordinator runs (D9): what is asked for goes into
the document (`recovering`), whoever provisions starts primaries with empty directories, and these restore
themselves.

All shards of a restore are put in place, or none: a disk that was restored is published only when those of
all others ask for that as well. Who has asked is in memory only; disks ask again until they are answered.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from aidb import errors
from aidb.durability.given_up import GivenUp, give_up
from aidb.objects.errors import Damaged, NoSuchKey, ObjectError, Unusable
from aidb.objects.opening import connect
from aidb_coordinator import archived, recovering
from aidb_coordinator.archived import Archived
from aidb_coordinator.clock import Clock
from aidb_coordinator.document import Document
from aidb_coordinator.events import EventLog, Severity
from aidb_coordinator.registration import DiskClaim
from aidb_coordinator.settings import Settings
from aidb_coordinator.topology import Recovery, Topology, TopologyError

_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
# A disk that waits asks at least each two seconds.
_HEARD_SECONDS = 10.0
_MOST = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """``shards`` empty: the whole cluster. ``clock_ms``, ``lsn``: 0 = not to one; neither = the newest."""

    id: str = ""
    shards: tuple[int, ...] = ()
    clock_ms: int = 0
    lsn: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """``waiting``: of ``shards``, those that are not in place yet."""

    shards: tuple[int, ...]
    waiting: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a restore that was asked for: its shards, or why it was not begun."""

    shards: tuple[int, ...] = ()
    error: str = ""


class Restores:
    """Methods raise subclasses of AidbError, and StoreError. `asked`: by id, since this one began; the
    newest ones, read only.
    """

    def __init__(self, document: Document, events: EventLog, settings: Settings, clock: Clock) -> None:
        self._document = document
        self._events = events
        self._settings = settings
        self._clock = clock
        self.asked: dict[str, Told] = {}
        self._starting: dict[str, asyncio.Task[Begun]] = {}
        self._ready: dict[int, tuple[str, float]] = {}
        # An operation moves slots by a plan that a restore makes void.
        self.operation_under_way: Callable[[], str] = str

    async def start(self, asked: Asked) -> Begun:
        """As `_start`. It goes on although the caller gives up, whose deadline may be shorter than what the
        object store takes; who asks again by the same id waits for the same. What came of it is remembered.
        """
        id = asked.id or uuid.uuid4().hex
        task = self._starting.get(id)
        if task is None:
            task = asyncio.create_task(self._remembered(replace(asked, id=id)), name=f"restore {id}")
            self._starting[id] = task
            task.add_done_callback(lambda done: self._ended(id, done))
        return await asyncio.shield(task)

    def _ended(self, id: str, done: asyncio.Task[Begun]) -> None:
        del self._starting[id]
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody did, it is no defect

    async def _remembered(self, asked: Asked) -> Begun:
        try:
            begun = await self._start(asked)
        except errors.InvalidArgument as error:
            self._tell(asked.id, Told(error=error.message))
            raise
        self._tell(asked.id, Told(begun.shards))
        return begun

    def _tell(self, id: str, told: Told) -> None:
        self.asked.pop(id, None)
        self.asked[id] = told
        while len(self.asked) > _MOST:
            del self.asked[next(iter(self.asked))]

    async def _start(self, asked: Asked) -> Begun:
        """Records it, or finds that it was.

        Raises InvalidArgument when it cannot be done, Conflict when something else has to end first, Busy
        while the object store does not answer.
        """
        _check(asked)
        topology = self._document.topology
        if shards := recovering.of_restore(topology, asked.id):
            return Begun(shards, recovering.waiting(topology, asked.id))
        if not self._settings.objects:
            raise errors.InvalidArgument(
                "there is no object store to restore from: --objects of all programs"
            )
        if operation := self.operation_under_way():
            raise errors.Conflict(f"operation {operation} is under way: let it end, or cancel it, first")
        now_ms = self._clock.wall_ms()
        if asked.clock_ms > now_ms:
            raise errors.InvalidArgument(f"{asked.clock_ms} is after now, {now_ms} (ms since 1970)")
        recovery = Recovery(asked.id, topology.cluster_uid, asked.clock_ms, asked.lsn)
        try:
            found = await asyncio.to_thread(self._look, topology, asked, now_ms)
            shards = await self._document.commit(lambda known: _restore(known, asked, recovery, found))
        except TopologyError as error:
            raise errors.InvalidArgument(str(error)) from error
        except (NoSuchKey, Damaged, Unusable) as error:
            raise errors.InvalidArgument(f"it cannot be restored: {error}") from error
        except ObjectError as error:
            raise errors.Busy(f"the object store does not answer: {error}", retry_after=2.0) from error
        where = ", ".join(map(str, shards)) if asked.shards else "all"
        self._events.add(
            Severity.WARNING, "RestoreBegun", f"restore {recovery.id}", f"shards {where}, to {_target(asked)}"
        )
        return Begun(shards, recovering.waiting(self._document.topology, recovery.id))

    def check_turn(self, shard_id: int, claim: DiskClaim | None) -> None:
        """Of a primary that registers. Raises Busy while other shards of its restore are not ready."""
        topology = self._document.topology
        shard = topology.shard(shard_id)
        if shard is None or shard.recovery is None or claim is None or claim.disk_epoch < shard.epoch:
            return
        now, restore = self._clock.monotonic(), shard.recovery.id
        self._ready[shard_id] = restore, now
        missing = [
            other
            for other in recovering.waiting(topology, restore)
            if (heard := self._ready.get(other)) is None
            or heard[0] != restore
            or now - heard[1] > _HEARD_SECONDS
        ]
        if missing:
            what = ", ".join(map(str, missing))
            raise errors.Busy(f"restored; shards {what} of the same restore are not yet", retry_after=1.0)

    def _look(self, topology: Topology, asked: Asked, now_ms: int) -> Archived:
        store = connect(self._settings.objects)
        try:
            at = 0 if asked.shards else asked.clock_ms
            found = archived.read(store, topology.cluster_uid, at, topology)
            if at:
                give_up(store, topology.cluster_uid, GivenUp(at, now_ms))
            return found
        finally:
            store.close()


def _restore(
    known: Topology, asked: Asked, recovery: Recovery, found: Archived
) -> tuple[Topology, tuple[int, ...]]:
    if not asked.shards:
        if len({shard.id for shard in known.shards} - {shard.id for shard in found.newest.shards}):
            raise TopologyError("the cluster's shards have changed meanwhile: ask again")
        after = recovering.whole_cluster(known, found.then, found.epochs, recovery)
        return after, recovering.waiting(after, recovery.id)
    after = known
    for shard_id in asked.shards:
        after = recovering.one_shard(after, shard_id, found.epochs.get(shard_id, 0), recovery)
    return after, asked.shards


def _check(asked: Asked) -> None:
    if asked.id and not _ID.fullmatch(asked.id):
        raise errors.InvalidArgument(f"{asked.id[:64]!r} is no id: up to 63 letters, digits, dots and dashes")
    if asked.clock_ms and asked.lsn:
        raise errors.InvalidArgument("a restore goes to a time or to an LSN, not both")
    if len(set(asked.shards)) != len(asked.shards):
        raise errors.InvalidArgument("a shard is named twice")
    if asked.lsn and len(asked.shards) != 1:
        raise errors.InvalidArgument("an LSN is one shard's: name that shard, or give a time")


def _target(asked: Asked) -> str:
    if asked.lsn:
        return f"lsn {asked.lsn}"
    return f"clock {asked.clock_ms}" if asked.clock_ms else "the newest"
