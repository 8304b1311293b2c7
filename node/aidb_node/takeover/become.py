"""The order of D3 and D6, step by step.

    fetch    snapshot, SSTs, and the log that is archived so far: while the old primary may still serve
    take     the next epoch, by compare-and-swap: from here on the old disk serves no more
    claim    the epoch, in the store
    release  of a planned one: the old primary stops, archives its tail and seals its log itself
    seal     every log before, so that there is an end to replay to
    replay   to the cut; in mode `replica` on through what the tail set holds beyond it (D5)
    wait     see `turn`; then the directory registers, which publishes it

A taker that dies anywhere leaves a directory that begins anew, with a higher epoch; what it has downloaded
stays. A shard that has to be restored (D9) goes another way: see `restore`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import Superseded, claim_epoch, seal_before
from aidb.durability.lineage import END, Branch
from aidb.durability.loss import Lossy
from aidb.durability.names import Names, last_number
from aidb.durability.piece import Piece, Seal
from aidb.durability.restore_plan import Step, Target
from aidb.durability.stamp import check_stamp
from aidb.errors import AidbError
from aidb.objects.errors import ObjectError
from aidb.objects.opening import connect, probed
from aidb.objects.retrying import RetryingStore
from aidb.v1 import cluster_pb2 as pb
from aidb_node import identity
from aidb_node.config import Settings
from aidb_node.failure import StartRefused
from aidb_node.logs import Log
from aidb_node.recovery import origin
from aidb_node.recovery.choice import choose
from aidb_node.recovery.following import Following
from aidb_node.recovery.recover import Report
from aidb_node.recovery.tail import append, seal_tails
from aidb_node.recovery.tail import choose as choose_tail
from aidb_node.stop import Stop
from aidb_node.takeover import restore
from aidb_node.takeover.asking import Asking, Stopped
from aidb_node.takeover.turn import DRIFT, Sealed, boot_time, turn

# A hand-over begins when catching up with what came meanwhile takes less than so many seconds.
_CLOSE_BEHIND = 0.3
_MOST_ROUNDS = 20
# How long the old primary may take to stop, archive and seal; at least, and in lease times.
_RELEASE_SECONDS = 10.0
_RELEASE_LEASES = 2.0
_POLL = 0.02
# For all members of a tail set, at least.
_SEAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """An epoch that the directory is to register with, not before ``turn`` (seconds of the boot clock)."""

    epoch: int
    turn: float
    planned: bool


def become(settings: Settings, log: Log, stop: Stop) -> Taken | None:
    """Goes through all of it but the end of the wait; None: this directory has been published already.

    Raises:
        StartRefused: it is not wanted, was overtaken, or the archive cannot be followed to its end.
        Stopped: the program was told to end.
    """
    if settings.incarnation > 1 and not settings.objects:
        raise StartRefused("a shard can only be taken over from an object store: name it with --objects")
    disk = identity.claim(settings.data, settings.shard)
    with (
        _locked(settings.data),
        Asking(settings, disk.disk_id, disk.cluster_uid, stop.asked, log) as asking,
    ):
        course = asking.ask("starting")
        if course.published:
            return None
        try:
            if restore.of_course(course, settings.shard) is not None:
                restored = restore.restore(settings, log, stop, asking, course, disk)
                return Taken(restored.epoch, restored.turn, planned=False)
            taker = _Taker(settings, log, stop, asking, course, disk)
            return taker.run()
        except (Superseded, Lossy, ObjectError, AidbError, OSError) as error:
            if stop.asked.is_set():
                raise Stopped from error
            raise StartRefused(f"shard {settings.shard} cannot be recovered: {error}") from error


class _Taker:
    def __init__(
        self,
        settings: Settings,
        log: Log,
        stop: Stop,
        asking: Asking,
        course: pb.TakeOverResponse,
        disk: identity.Identity,
    ) -> None:
        self._settings = settings
        self._log = log
        self._stop = stop
        self._asking = asking
        self._course = course
        self._disk = disk
        self._lease = course.lease_ms / 1000

    def run(self) -> Taken:
        store = connect(self._settings.objects)
        try:
            tried = probed(store, self._course.cluster_uid)
            patient = RetryingStore(tried, stop=self._stop.asked)
            catalog = Catalog(patient, Names(self._course.cluster_uid, self._settings.shard))
            check_stamp(patient, self._course.cluster_uid)
            return self._run(catalog)
        finally:
            store.close()

    def _run(self, catalog: Catalog) -> Taken:
        with self._restore(catalog) as restore:
            self._fetch(catalog, restore)
            self._log.info("fetched", lsn=restore.lsn)
            self._take()
            claim_epoch(catalog, self._course.epoch, self._disk.disk_id, self._settings.name)
            sealed = self._end_logs(catalog, restore)
            self._replay(catalog, restore)
            # A snapshot may show more than was archived: the next epoch's log goes on from what it shows.
            origin.write(
                self._settings.data,
                restore.work,
                origin.origin_of(catalog, self._course.epoch - 1, restore.lsn),
            )
            if not sealed.released:
                self._take_tail(restore)
            report = restore.finish()
        if report.kept_aside:
            # Of an attempt before, which was never published: nobody has read or written it.
            shutil.rmtree(report.kept_aside)
        return self._wait(sealed, report)

    def _restore(self, catalog: Catalog) -> Following:
        def seen(what: str, done: int, total: int) -> None:
            if self._stop.asked.is_set():
                raise Stopped

        return Following(catalog, self._settings.data, choose(catalog, Target()), seen)

    def _fetch(self, catalog: Catalog, restore: Following) -> None:
        """What is archived so far; before a hand-over until only little is missing."""
        self._apply(restore, None)
        for _ in range(_MOST_ROUNDS if self._course.planned else 0):
            began = time.monotonic()
            self._asking.ask(f"catching up, at lsn {restore.lsn}")
            self._follow(catalog, restore)
            if time.monotonic() - began < _CLOSE_BEHIND:
                break
        restore.store.flush()

    def _take(self) -> None:
        self._course = self._asking.ask("taking the epoch", take=True)
        self._disk = identity.update(
            self._settings.data,
            self._disk,
            cluster_uid=self._course.cluster_uid,
            pending_epoch=self._course.epoch,
        )
        self._log.info("epoch taken", epoch=self._course.epoch, after=self._course.published_epoch)

    def _end_logs(self, catalog: Catalog, restore: Following) -> Sealed:
        released = self._await_release(catalog, restore) if self._course.planned else None
        if not catalog.store.fenced:
            # D4: a seal keeps nobody out here, only the lease does; it is not renewed since the epoch was
            # taken.
            self._stop.asked.wait(self._lease * (1 + DRIFT))
        seal_before(catalog, self._course.epoch, self._disk.disk_id)
        return released or Sealed(boot_time())

    def _await_release(self, catalog: Catalog, restore: Following) -> Sealed | None:
        """Follows the old primary's log to the seal that it makes itself; None: it made none in time."""
        epoch, owner = self._course.published_epoch, self._course.published_disk_id
        ends = time.monotonic() + max(_RELEASE_SECONDS, _RELEASE_LEASES * self._lease)
        seal = catalog.seal(epoch)
        while seal is None and time.monotonic() < ends and not self._stop.asked.is_set():
            seal = self._follow(catalog, restore)
            if seal is None:
                self._stop.asked.wait(_POLL)
        if seal is not None and seal.id == owner and seal.clock_ms:
            return Sealed(boot_time(), released=True, clock_ms=seal.clock_ms)
        self._log.warning("the old primary did not hand over in time: its log is sealed for it", epoch=epoch)
        return None

    def _follow(self, catalog: Catalog, restore: Following) -> Seal | None:
        """Applies what came since in the log of the published epoch; its seal, if it has one."""
        epoch = self._course.published_epoch
        at = restore.position
        for stat in catalog.log(epoch, at[1] if at[0] == epoch and at[1] >= 0 else None):
            sequence = last_number(stat.key) or 0
            found = catalog.piece(epoch, sequence)
            if isinstance(found, Seal):
                return found
            assert isinstance(found, Piece)
            self._apply(restore, [Step(epoch, sequence, END)])
        return None

    def _replay(self, catalog: Catalog, restore: Following) -> None:
        """Everything up to the cut; the logs are at their ends now."""
        branches = catalog.branches(catalog.newest_claim())
        epoch, _ = restore.position
        cut = next((branch.cut for branch in branches if branch.epoch == epoch), 0)
        if restore.lsn > cut:
            raise ObjectError(f"epoch {epoch} was given up at lsn {cut} meanwhile: begin anew")
        self._apply(restore, list(_rest(catalog, branches, restore.position)))
        self._log.info("replayed", lsn=restore.lsn, epoch=self._course.epoch)

    def _take_tail(self, restore: Following) -> None:
        """D5: what the tail set holds beyond the cut of the archive. Raises Lossy."""
        view = self._course.view
        shard = next(shard for shard in view.topology.shards if shard.id == self._settings.shard)
        addresses = {replica.name: replica.address for replica in shard.replicas}
        tails = seal_tails(
            [(name, addresses.get(name, "")) for name in shard.tail_set],
            self._asking.channel,
            cluster_uid=self._course.cluster_uid,
            shard=self._settings.shard,
            epoch=self._course.epoch,
            timeout=max(_SEAL_SECONDS, self._lease),
        )
        _, cut, clock_ms = restore.store.position()
        chosen = choose_tail(cut, clock_ms, tails)
        if chosen.run is not None:
            lsn = append(restore.store, chosen.run)
            self._log.info("tail taken", member=chosen.name, after=cut, lsn=lsn)

    def _apply(self, restore: Following, steps: list[Step] | None) -> None:
        done = restore.replay(steps)
        if done.loss is not None:
            raise Lossy(done.loss)
        if self._stop.asked.is_set():
            raise Stopped

    def _wait(self, sealed: Sealed, report: Report) -> Taken:
        epoch = self._course.epoch
        course = self._asking.ask(f"recovered, at lsn {report.lsn}", epoch=epoch)
        moment = turn(
            sealed,
            lease=self._lease,
            clock_bound=course.clock_bound_ms / 1000,
            predecessor_dead=course.predecessor_dead,
            wall_ms=time.time_ns() // 1_000_000,
            now=boot_time(),
        )
        self._log.info(
            "recovered",
            epoch=epoch,
            lsn=report.lsn,
            snapshot=report.snapshot,
            records=report.records,
            released=sealed.released,
            predecessor_dead=course.predecessor_dead,
            serves_in=f"{max(0.0, moment - boot_time()):.3f}",
        )
        return Taken(epoch, moment, course.planned)


def _rest(catalog: Catalog, branches: list[Branch], at: tuple[int, int]) -> Iterator[Step]:
    """The pieces after the one at ``at``, through the epochs of the lineage."""
    for branch in reversed(branches):
        if branch.epoch >= at[0]:
            after = at[1] if branch.epoch == at[0] and at[1] >= 0 else None
            for stat in catalog.log(branch.epoch, after):
                yield Step(branch.epoch, last_number(stat.key) or 0, branch.cut)


def wait_for(moment: float, stop: Stop) -> None:
    """Until that time of the boot clock, or the end."""
    while not stop.asked.is_set() and (left := moment - boot_time()) > 0:
        stop.asked.wait(left)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keeps a second taker out of the directory: its store, which has a lock of its own, is not there yet."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartRefused(f"another process works in {directory}: stop it first") from error
        yield
    finally:
        os.close(descriptor)
