"""Backups of the cluster: a snapshot of every shard, and the time to which a restore has all of them.

Each snapshot is held (`durability.hold`) until the backup is released: retention keeps it, and the log that
follows it. What was asked for is in memory only; who asked asks again after a restart, by the same id; the
holds are named by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass, field

from aidb import errors
from aidb.durability.catalog import Catalog
from aidb.durability.hold import Hold, Purpose
from aidb.durability.manifest import Manifest, parse_label
from aidb.durability.names import Names
from aidb.durability.stamp import shards
from aidb.objects.errors import Exists, NoSuchKey, ObjectError
from aidb.objects.opening import connect
from aidb_coordinator.control import Control
from aidb_coordinator.dial import Dialer
from aidb_coordinator.health import MemberState
from aidb_coordinator.scaling.backups import Backups
from aidb_coordinator.scaling.view import Backup
from aidb_coordinator.topology import Shard

log = logging.getLogger("aidb.coordinator")

_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MOST = 16
_MOST_NAME = 200
# Until it is released.
_HELD_MS = 100 * 366 * 86_400_000


@dataclass(slots=True)
class ClusterBackup:
    """`taken` and `problems` by shard. Times in ms since 1970; `ended_ms` 0: it is not complete."""

    id: str
    name: str
    began_ms: int
    snapshots: Backups
    taken: dict[int, Manifest] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    ended_ms: int = 0
    clock_ms: int = 0


class ClusterBackups:
    """`tick` goes on with those that are not complete."""

    def __init__(self, control: Control, dialer: Dialer) -> None:
        self._control = control
        self._dialer = dialer
        self._backups: dict[str, ClusterBackup] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}

    @property
    def backups(self) -> tuple[ClusterBackup, ...]:
        return tuple(self._backups.values())

    def start(self, id: str, name: str) -> ClusterBackup:
        """Raises InvalidArgument, Busy when too many are under way."""
        self._check(id)
        if (known := self._backups.get(id)) is not None:
            return known
        if len(self._backups) >= _MOST:
            ended = [backup.id for backup in self.backups if backup.ended_ms]
            if not ended:
                raise errors.Busy(f"{_MOST} backups are under way", retry_after=10.0)
            del self._backups[ended[0]]
        made = ClusterBackup(id, name[:_MOST_NAME], self._control.clock.wall_ms(), Backups(self._dialer))
        self._backups[id] = made
        return made

    async def release(self, id: str) -> None:
        """Retention may have it. Raises InvalidArgument, Busy while the object store does not answer."""
        self._check(id)
        self._backups.pop(id, None)
        if id not in self._releasing:
            # It goes on although the caller gives up; who asks again waits for the same.
            task = asyncio.create_task(asyncio.to_thread(self._let_go, id), name=f"release {id}")
            self._releasing[id] = task
            task.add_done_callback(lambda done: self._released(id, done))
        try:
            await asyncio.shield(self._releasing[id])
        except ObjectError as error:
            raise errors.Busy(f"the object store does not answer: {error}", retry_after=2.0) from error

    def _released(self, id: str, done: asyncio.Task[None]) -> None:
        del self._releasing[id]
        if not done.cancelled():
            done.exception()

    async def tick(self) -> None:
        for backup in self.backups:
            if not backup.ended_ms:
                await self._go_on(backup)

    async def _go_on(self, backup: ClusterBackup) -> None:
        await backup.snapshots.follow()
        wanted = [shard for shard in self._control.topology.shards if not shard.fresh]
        for shard in wanted:
            if shard.id not in backup.taken:
                backup.problems[shard.id] = await self._shard(backup, shard)
        ids = {shard.id for shard in wanted}
        for gone in backup.taken.keys() - ids:
            del backup.taken[gone]
        if backup.taken.keys() != ids:
            return
        now_ms = self._control.clock.wall_ms()
        # A shard's clock may be ahead of this one by the bound.
        clocks = (manifest.clock_ms for manifest in backup.taken.values())
        backup.clock_ms = max(now_ms + self._control.settings.clock_bound_ms, *clocks)
        backup.ended_ms = now_ms
        backup.problems.clear()

    async def _shard(self, backup: ClusterBackup, shard: Shard) -> str:
        """What is in the way of its snapshot, or nothing."""
        state = backup.snapshots.states.get(shard.id)
        if state is Backup.DONE:
            try:
                backup.taken[shard.id] = await asyncio.to_thread(
                    self._keep, backup.id, shard.id, backup.snapshots.taken(shard.id)
                )
            except ObjectError as error:
                return str(error)
            return ""
        if state is Backup.FAILED:
            return backup.snapshots.error(shard.id)
        if state is Backup.RUNNING:
            return ""
        primary = shard.primary
        if primary is None or self._control.roster.verdict(primary.name).state is not MemberState.HEALTHY:
            return "its primary does not serve"
        return await backup.snapshots.ask(shard.id, primary.address, backup.name)

    def _keep(self, id: str, shard: int, label: str) -> Manifest:
        """Holds the snapshot; what it is. Raises ObjectError."""
        place = parse_label(label)
        assert place is not None, label
        store = connect(self._control.settings.objects)
        try:
            catalog = Catalog(store, Names(self._control.topology.cluster_uid, shard))
            manifest = catalog.manifest(*place)
            hold = Hold(manifest.place, Purpose.RESTORE, id, self._control.clock.wall_ms() + _HELD_MS)
            with contextlib.suppress(Exists):
                store.create(catalog.names.hold(id), hold.encode())
            return manifest
        finally:
            store.close()

    def _let_go(self, id: str) -> None:
        uid = self._control.topology.cluster_uid
        store = connect(self._control.settings.objects)
        try:
            for shard in shards(store, uid):
                with contextlib.suppress(NoSuchKey):
                    store.delete(Names(uid, shard).hold(id))
        finally:
            store.close()

    def _check(self, id: str) -> None:
        if not _ID.fullmatch(id):
            raise errors.InvalidArgument(f"{id[:64]!r} is no id: up to 63 letters, digits and dashes")
        if not self._control.settings.objects:
            raise errors.InvalidArgument("there is no object store: --objects of all programs")
