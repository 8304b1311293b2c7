"""A shard that has to come from the object store (D9), by a primary with an empty directory: of a new cluster
that begins with another one's objects, or of one that lives and goes back.

    seal     of one's own cluster: every log through the epoch that the document reserved: there is an end
    restore  to the time or LSN of the document, beside an empty place (`recovery.recover`)
    place    `restored.json`, the directory's identity, then the store
    wait     of one's own cluster: T and drift after the last seal, as any taker (D3)

It then registers as after a restart in place: its disk is in the reserved epoch. Another cluster's objects
are only read, but for the hold that keeps them from its retention meanwhile. A primary that dies before it
has registered goes on: with the SSTs that it has, or with the store that is in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.catalog import Catalog
from aidb.durability.cluster_plan import cluster_plan
from aidb.durability.fencing import seal_before
from aidb.durability.lineage import END
from aidb.durability.loss import Lossy
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.durability.stamp import check_stamp
from aidb.errors import AidbError
from aidb.objects.errors import ObjectError
from aidb.objects.opening import connect, probed
from aidb.objects.retrying import RetryingStore
from aidb.objects.store import ObjectStore
from aidb.v1 import cluster_pb2 as pb
from aidb_node import identity
from aidb_node.config import Settings
from aidb_node.logs import Log
from aidb_node.recovery import origin
from aidb_node.recovery.recover import prepare
from aidb_node.stop import Stop
from aidb_node.takeover.asking import Asking, Stopped
from aidb_node.takeover.turn import DRIFT, boot_time

# What is said of the progress, at most each so many seconds.
_TELL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Restored:
    """The epoch to register with, not before ``turn`` (seconds of the boot clock)."""

    epoch: int
    turn: float


def of_course(course: pb.TakeOverResponse, shard: int) -> pb.Shard | None:
    """The shard in the document, if it has to be restored."""
    for one in course.view.topology.shards:
        if one.id == shard and one.HasField("recovery"):
            return one
    return None


def target_of(topology: pb.Topology, shard: pb.Shard) -> Target:
    """Where to; a time goes on through the acquisitions of the slots that the shard has in the document."""
    recovery = shard.recovery
    if recovery.lsn:
        return Target(lsn=recovery.lsn)
    plans = cluster_plan(topology, [], recovery.clock_ms or END)
    return next(plan.target for plan in plans if plan.shard == shard.id)


def restore(
    settings: Settings,
    log: Log,
    stop: Stop,
    asking: Asking,
    course: pb.TakeOverResponse,
    disk: identity.Identity,
) -> Restored:
    """Goes through all of it but the end of the wait.

    Raises:
        Lossy, ObjectError, AidbError, OSError: it cannot be restored, or not now.
        Stopped: the program was told to end.
    """
    shard = of_course(course, settings.shard)
    assert shard is not None
    own = shard.recovery.cluster_uid == course.cluster_uid
    store = connect(shard.recovery.url or settings.objects)
    try:
        wait = course.lease_ms / 1000 * (1 + DRIFT) if own else 0.0
        try:
            _Restore(settings, log, stop, asking, course, disk, shard, own).run(store)
        except (Lossy, ObjectError, AidbError, OSError) as error:
            # Whoever asked for the restore looks there.
            asking.ask(f"cannot be restored: {error}")
            raise
        return Restored(shard.epoch + 1, boot_time() + wait)
    finally:
        store.close()


class _Restore:
    def __init__(
        self,
        settings: Settings,
        log: Log,
        stop: Stop,
        asking: Asking,
        course: pb.TakeOverResponse,
        disk: identity.Identity,
        shard: pb.Shard,
        own: bool,
    ) -> None:
        self._settings = settings
        self._log = log
        self._stop = stop
        self._asking = asking
        self._course = course
        self._disk = disk
        self._shard = shard
        self._own = own
        self._told = 0.0

    def run(self, store: ObjectStore) -> None:
        directory, shard = self._settings.data, self._shard
        names = Names(shard.recovery.cluster_uid, shard.id)
        patient = RetryingStore(store, stop=self._stop.asked)
        check_stamp(patient, names.cluster_uid)
        if self._own:
            self._seal(Catalog(probed(store, names.cluster_uid, self._stop.asked), names))
        if (directory / identity.STORE).exists():
            self._log.info("the restored store is in its place", shard=shard.id)
            return
        catalog = Catalog(patient, names)
        target = target_of(self._course.view.topology, shard)
        newest = catalog.newest_claim()
        prepared = prepare(catalog, directory, target, epoch=shard.epoch, seen=self._seen)
        lsn = prepared.report.lsn
        if self._own:
            # The archive of the next epoch goes on from there; in another cluster's it begins anew.
            origin.write(directory, prepared.work, origin.origin_of(catalog, newest, lsn))
        self._disk = identity.update(
            directory, self._disk, cluster_uid=self._course.cluster_uid, pending_epoch=shard.epoch + 1
        )
        report = prepared.put_in_place()
        self._log.info(
            "restored",
            source=names.root,
            to=target,
            lsn=lsn,
            clock_ms=report.clock_ms,
            snapshot=report.snapshot,
            bytes=report.table_bytes,
            records=report.records,
        )
        self._asking.ask(f"restored, at lsn {lsn}")

    def _seal(self, catalog: Catalog) -> None:
        if not catalog.store.fenced:
            # D4: as in a takeover, only the lease keeps the old primary out.
            self._stop.asked.wait(self._course.lease_ms / 1000 * (1 + DRIFT))
        seal_before(catalog, self._shard.epoch + 1, self._disk.disk_id)

    def _seen(self, what: str, done: int, total: int) -> None:
        if self._stop.asked.is_set():
            raise Stopped
        now = boot_time()
        if now > self._told + _TELL_SECONDS:
            self._told = now
            self._asking.ask(f"restoring, {what}: {done} of {total}")
