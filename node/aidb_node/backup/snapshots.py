"""A snapshot: checkpoint -> the SSTs that the store lacks, several at a time -> the manifest, last.

What an attempt that failed has uploaded is found by the next one: SSTs are named by their content. While a
snapshot is made, retention deletes no SST (`durability.hold`); all the same, those that were there already
are looked at once more when the manifest is written, because then nothing may delete them any more.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import Superseded
from aidb.durability.hold import Hold, Purpose
from aidb.durability.holding import held, others
from aidb.durability.identity import Place
from aidb.durability.manifest import File, Manifest
from aidb.durability.names import last_number
from aidb.durability.snapshot_plan import SnapshotPlan, snapshot_plan
from aidb.objects.errors import Exists, NoSuchKey, Unavailable
from aidb_node.backup.primary import Primary
from aidb_node.backup.rate import RateLimit
from aidb_node.backup.sums import TableSums

SCRATCH = "snapshot"
_ENGINE_MANIFEST = "MANIFEST"
# How long a snapshot waits for a retention that is under way, and how often it looks.
_RETENTION_SECONDS = 900.0
_RETENTION_POLL = 2.0


class Stopped(Exception):
    """The program ends."""


@dataclass(slots=True)
class Uploaded:
    """Bytes of the snapshot's files, how many of them are there, and how many had to be uploaded."""

    total: int = 0
    done: int = 0
    uploaded: int = 0


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Makes them, one at a time. ``directory`` is the primary's data directory."""

    catalog: Catalog
    primary: Primary
    directory: Path
    limit: RateLimit
    stop: threading.Event
    uploads: int = 4

    def take(
        self, name: str, epoch: int, position: Callable[[], tuple[int, int] | None], seen: Uploaded
    ) -> Manifest:
        """``position``: of the archive in ``epoch``, asked before the checkpoint: what is newer is
        archived from there.

        Raises:
            Superseded: the epoch is over.
            Stopped, ObjectError, OSError, AidbError
        """
        place = Place(self.catalog.names.cluster_uid, self.catalog.names.shard, epoch)
        with held(self.catalog, Purpose.SNAPSHOT, place) as hold, self._scratch() as scratch:
            self._wait_for_retention(hold)
            log = position()
            lsn, store_epoch, clock_ms, named = self.primary.checkpoint(str(scratch))
            files = self._files(scratch, [item for item in named if item[0] != _ENGINE_MANIFEST])
            present = {stat.key.rpartition("/")[2] for stat in self.catalog.tables()}
            plan = snapshot_plan(files, present)
            seen.total = sum(file.size for file in files)
            seen.done = sum(file.size for file in plan.reused)
            self._upload(scratch, plan.uploads, seen)
            manifest = Manifest(
                place=place,
                id=uuid.uuid4().hex,
                name=name,
                lsn=lsn,
                clock_ms=clock_ms,
                store_epoch=store_epoch,
                at_ms=time.time_ns() // 1_000_000,
                log=log,
                files=tuple(files),
                engine=(scratch / _ENGINE_MANIFEST).read_bytes(),
            )
            manifest = self._publish(manifest)
            self._complete(scratch, plan, seen)
        return manifest

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        scratch = self.directory / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _wait_for_retention(self, hold: Hold) -> None:
        ends = time.monotonic() + _RETENTION_SECONDS
        while any(other.purpose is Purpose.RETENTION for other in others(self.catalog, hold)):
            if time.monotonic() > ends:
                raise Unavailable(
                    "a retention has been under way for long: its process may have died; try again later"
                )
            if self.stop.wait(_RETENTION_POLL):
                raise Stopped

    def _files(self, scratch: Path, named: list[tuple[str, int]]) -> list[File]:
        """Their checksums: only new tables are read."""
        sums = TableSums(self.directory)
        files = []
        for name, size in named:
            if self.stop.is_set():
                raise Stopped
            files.append(File(name, size, sums.of(scratch / name)))
        sums.save({Path(name).name for name, _ in named})
        return files

    def _upload(self, scratch: Path, files: Iterable[File], seen: Uploaded) -> None:
        lock = threading.Lock()
        failed = threading.Event()

        def upload(file: File) -> None:
            if failed.is_set() or not self.limit.wait(file.size, self.stop):
                raise Stopped
            with contextlib.suppress(Exists):  # the same content, by its name
                self.catalog.store.create_file(self.catalog.names.table(file.sha256), scratch / file.name)
            with lock:
                seen.done += file.size
                seen.uploaded += file.size

        with ThreadPoolExecutor(self.uploads, thread_name_prefix="upload") as pool:
            futures = [pool.submit(upload, file) for file in files]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                failed.set()
                pool.shutdown(cancel_futures=True)
        errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
        # What the first failure stopped says nothing.
        for error in sorted(errors, key=lambda one: isinstance(one, Stopped)):
            raise error

    def _publish(self, manifest: Manifest) -> Manifest:
        epoch = manifest.place.epoch
        newest = self.catalog.newest_claim()
        if newest > epoch:
            raise Superseded(
                f"epoch {newest} was claimed, a snapshot of epoch {epoch} would be none of the shard"
            )
        there = self.catalog.manifests(epoch)
        sequence = (last_number(there[-1].key) or 0) + 1 if there else 0
        place = Place(manifest.place.cluster_uid, manifest.place.shard, epoch, sequence)
        manifest = replace(manifest, place=place)
        self.catalog.store.create(self.catalog.names.manifest(epoch, sequence), manifest.encode())
        return manifest

    def _complete(self, scratch: Path, plan: SnapshotPlan, seen: Uploaded) -> None:
        lost = []
        for file in plan.reused:
            try:
                self.catalog.store.head(self.catalog.names.table(file.sha256))
            except NoSuchKey:
                lost.append(file)
        self._upload(scratch, lost, seen)
