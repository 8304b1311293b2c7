"""Runs the archive, the snapshots and the checks of a primary, each in a thread of its own.

The store may be away at any time, from the start on: all threads try again, and the status says what is
wrong. What ends them is the program's end, or another primary that has taken over: then the program has to
end (``superseded``).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from prometheus_client.registry import Collector

from aidb.durability.catalog import Catalog
from aidb.durability.collecting import collect
from aidb.durability.fencing import Superseded
from aidb.durability.names import Names
from aidb.errors import AidbError
from aidb.objects.counting import CountingStore
from aidb.objects.errors import ObjectError, Unavailable, Unusable
from aidb.objects.opening import connect, probed
from aidb.objects.retrying import Patience, RetryingStore
from aidb_node.backup.archive import Archive
from aidb_node.backup.checks import Checks
from aidb_node.backup.primary import Primary
from aidb_node.backup.rate import RateLimit
from aidb_node.backup.settings import BackupSettings
from aidb_node.backup.snapshots import SCRATCH, Snapshots, Stopped, Uploaded
from aidb_node.backup.status import Status
from aidb_node.logs import Log
from aidb_node.metrics.backup import BackupCollector
from aidb_node.recovery.origin import Origin
from aidb_node.recovery.origin import read as read_origin

# Of failed attempts, the first and each of so many are logged.
_LOG_EACH = 20
_PAUSES = Patience(first_pause=0.2, longest_pause=5.0)
# So many seconds a snapshot waits for an archive whose store does not answer; what else ails it is final.
_ARCHIVE_SECONDS = 5.0
# A snapshot that failed is tried again after so many seconds.
_AGAIN = 60.0
# How long the end of a thread is waited for.
_END_SECONDS = 5.0
# How often the status is renewed while a snapshot uploads.
_REPORT = 0.5


class Hosted(Primary, Protocol):
    """See `_native.Server`."""

    def report_durability(self, encoded: bytes) -> None: ...
    def await_demand(self, timeout: float) -> bool: ...
    def want_archived(self, lsn: int) -> None: ...
    def end_wait(self) -> None: ...


class SecondCopy:
    """`begin` at each epoch, `close` at the end. ``superseded`` is called from a thread, at most once an
    epoch.
    """

    def __init__(
        self,
        settings: BackupSettings,
        primary: Hosted,
        directory: Path,
        *,
        shard: int,
        disk_id: str,
        owner: str,
        log: Log,
        superseded: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._primary = primary
        self._directory = directory
        self._shard = shard
        self._disk_id = disk_id
        self._owner = owner
        self._log = log
        self._superseded = superseded
        self._store = CountingStore(connect(settings.objects))
        # What a crash left keeps tables on the disk that are no part of the store any more.
        shutil.rmtree(directory / SCRATCH, ignore_errors=True)
        self._status = Status(lambda: primary.log_position()[0], primary.report_durability, self._store.url)
        self._status.counted = self._store.counted
        self._status.report()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._archive: Archive | None = None
        self._archive_problem: Exception | None = None
        self._caught_up = threading.Event()
        self._release_to = 0
        self._released = threading.Event()
        self._asked = threading.Event()
        self._name = ""

    def begin(self, cluster_uid: str, epoch: int, lease_ms: int) -> None:
        """Archives and snapshots belong to this epoch from now on."""
        self._end_threads()
        self._stop = threading.Event()
        self._archive = None
        self._archive_fails(None)
        names = Names(cluster_uid, self._shard)
        for name, run in (
            ("archive", self._run_archive),
            ("snapshots", self._run_snapshots),
            ("checks", self._run_checks),
        ):
            thread = threading.Thread(
                target=run, args=(names, epoch, lease_ms, self._stop), name=name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def backup(self, name: str) -> None:
        """Asks for a snapshot; one that was asked for and has not begun is the same."""
        self._name = name
        self._asked.set()

    def catch_up(self, seconds: float) -> bool:
        """Waits until everything that is synced now is archived."""
        ends = time.monotonic() + seconds
        _, synced_lsn, _ = self._primary.log_position()
        self._primary.want_archived(synced_lsn)
        while self._status.archive.archived_lsn < synced_lsn and time.monotonic() < ends:
            if not any(thread.is_alive() for thread in self._threads):
                return False
            self._caught_up.clear()
            self._caught_up.wait(min(0.1, seconds))
        return self._status.archive.archived_lsn >= synced_lsn

    def release(self, by_epoch: int, seconds: float) -> bool:
        """D6: archives what is left and seals the log for ``by_epoch``; False when that took too long. To be
        called when no request is inside any more.
        """
        self._release_to = by_epoch
        self._primary.end_wait()
        return self._released.wait(seconds)

    def collector(self) -> Collector:
        """Metrics that `GetStats` has not."""
        every = self._settings.snapshot_every
        return BackupCollector(lambda: self._status.took_seconds, every, self._shard)

    def close(self) -> None:
        self._end_threads()
        self._store.close()

    def _end_threads(self) -> None:
        self._stop.set()
        self._primary.end_wait()
        self._asked.set()
        # One that is within a call of the store ends after it; as a daemon it keeps no program from its end.
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self._threads.clear()
        self._asked.clear()

    # --- the archive ---

    def _run_archive(self, names: Names, epoch: int, lease_ms: int, stop: threading.Event) -> None:
        archive: Archive | None = None
        failures = 0
        while not stop.is_set():
            try:
                if archive is None:
                    archive = self._new_archive(names, epoch, lease_ms, stop)
                if not archive.is_open:
                    archive.open()
                    self._status.archive = archive.progress
                    self._archive = archive
                    self._log.info(
                        "archiving", store=self._store.url, epoch=epoch, lsn=archive.progress.archived_lsn
                    )
                release_to = self._release_to
                more = archive.step()
                if release_to and not more:
                    archive.release(release_to)
                    self._status.report()
                    self._released.set()
                    return
                failures = 0
                self._archive_fails(None)
            except Superseded as error:
                self._archive_fails(error)
                self._status.report()
                self._superseded(str(error))
                return
            except (ObjectError, AidbError, OSError) as error:
                if stop.is_set():
                    return
                if failures % _LOG_EACH == 0:
                    self._log.warning("not archived yet", attempt=failures + 1, reason=error)
                self._archive_fails(error)
                stop.wait(_PAUSES.pause(failures))
                failures += 1
            self._caught_up.set()
            self._status.report()
            # What gathers while a piece is on its way leaves with the next: at once if somebody waits (D4).
            idle = not failures and archive is not None and not archive.has_more and not self._release_to
            if idle and not stop.is_set():
                self._primary.await_demand(self._settings.archive_every)

    def _archive_fails(self, problem: Exception | None) -> None:
        self._archive_problem = problem
        self._status.archive_error = "" if problem is None else str(problem)

    def _new_archive(self, names: Names, epoch: int, lease_ms: int, stop: threading.Event) -> Archive:
        store = probed(self._store, names.cluster_uid, stop)
        self._status.fenced = store.fenced
        if not store.fenced:
            self._log.warning(
                "the object store does not refuse a second create, so that leases alone keep an old primary "
                "from writing; use a store that enforces If-None-Match",
                store=store.url,
            )
        return Archive(
            Catalog(store, names),
            self._primary,
            epoch=epoch,
            id=self._disk_id,
            owner=self._owner,
            lease_ms=lease_ms,
            on_gap=self._gap,
            on_notice=self._log.warning,
            origin=self._read_origin(),
        )

    def _read_origin(self) -> Origin | None:
        """Raises Unusable: without it nobody knows what the archive goes on from."""
        try:
            return read_origin(self._directory)
        except (OSError, ValueError) as error:
            raise Unusable(f"{error}: restore the shard again") from error

    def _gap(self, what: str) -> None:
        self._log.error("the archive has a gap; a snapshot begins a new chain", reason=what)
        self.backup("after a gap")

    # --- snapshots ---

    def _run_snapshots(self, names: Names, epoch: int, _lease_ms: int, stop: threading.Event) -> None:
        catalog = Catalog(RetryingStore(self._store, stop=stop), names)
        limit = RateLimit(self._settings.upload_rate)
        snapshots = Snapshots(catalog, self._primary, self._directory, limit, stop, self._settings.uploads)
        due, scheduled = time.monotonic(), False
        while not stop.is_set():
            self._asked.wait(max(0.0, due - time.monotonic()))
            away = self._wait_for_archive(stop)
            if stop.is_set():
                return
            # Also who asked while the archive was opening.
            asked = self._asked.is_set()
            if not away and not scheduled:
                scheduled, due = True, time.monotonic() + self._first_pause(catalog)
                if not asked and due > time.monotonic():
                    continue
            # In this order: who asks meanwhile is asked for twice rather than never.
            self._asked.clear()
            name, self._name = self._name, ""
            if away:
                self._status.snapshot_error = away
                self._status.ended += 1
                due = time.monotonic() + min(_AGAIN, self._settings.snapshot_every)
            elif self._snapshot(snapshots, name, epoch):
                due = time.monotonic() + self._settings.snapshot_every
                self._collect(catalog)
            else:
                due = time.monotonic() + min(_AGAIN, self._settings.snapshot_every)

    def _first_pause(self, catalog: Catalog) -> float:
        """Until the schedule asks for the next one: restarts do not put it off."""
        try:
            newest = next(catalog.manifests_from(catalog.newest_claim()), None)
        except ObjectError as error:
            self._log.warning("the snapshots in the store cannot be read", reason=error)
            newest = None
        if newest is None:
            return 0.0
        if self._status.snapshot is None:
            self._status.snapshot = newest[0]
        age = max(0.0, time.time() - newest[0].at_ms / 1000)
        return max(0.0, self._settings.snapshot_every - age)

    def _wait_for_archive(self, stop: threading.Event) -> str:
        """Its position belongs into the manifest. Why it cannot be opened, or nothing."""
        ends = time.monotonic() + _ARCHIVE_SECONDS
        while self._archive is None or not self._archive.is_open:
            problem = self._archive_problem
            if problem is not None and (not isinstance(problem, Unavailable) or time.monotonic() > ends):
                return str(problem)
            if stop.wait(0.1):
                break
        return ""

    def _snapshot(self, snapshots: Snapshots, name: str, epoch: int) -> bool:
        seen = self._status.running = Uploaded()
        begin = time.monotonic()
        done = threading.Event()
        reporter = threading.Thread(target=self._report_until, args=(done,), name="progress", daemon=True)
        reporter.start()
        try:
            manifest = snapshots.take(name, epoch, self._position, seen)
            took = time.monotonic() - begin
            self._status.snapshot, self._status.uploaded = manifest, seen.uploaded
            self._status.took_seconds = took
            self._status.snapshot_error = ""
            self._log.info(
                "snapshot taken",
                snapshot=manifest.label,
                lsn=manifest.lsn,
                bytes=seen.total,
                uploaded=seen.uploaded,
                seconds=f"{took:.1f}",
            )
            return True
        except Stopped:
            return True
        except (Superseded, ObjectError, AidbError, OSError) as error:
            self._status.snapshot_error = str(error)
            self._log.warning("no snapshot was taken", reason=error)
            return False
        finally:
            self._status.running = None
            self._status.ended += 1
            done.set()
            reporter.join()
            self._status.report()

    def _position(self) -> tuple[int, int] | None:
        return None if self._archive is None else self._archive.position

    def _report_until(self, done: threading.Event) -> None:
        while not done.wait(_REPORT):
            self._status.report()

    def _collect(self, catalog: Catalog) -> None:
        try:
            collected = collect(catalog, self._settings.policy, dry_run=False)
        except (ObjectError, Superseded) as error:
            self._log.warning("nothing was collected", reason=error)
            return
        if collected.deleted or collected.notes:
            self._log.info("collected", objects=collected.deleted, notes="; ".join(collected.notes))

    # --- checks ---

    def _run_checks(self, names: Names, _epoch: int, _lease_ms: int, stop: threading.Event) -> None:
        Checks(
            Catalog(RetryingStore(self._store, stop=stop), names),
            self._primary,
            self._directory,
            {"verify": self._settings.verify_every, "drill": self._settings.drill_every},
            archived=lambda: self._status.archive.archived_lsn,
            said=self._status.checks,
            changed=self._status.report,
            log=self._log,
            stop=stop,
        ).run()
