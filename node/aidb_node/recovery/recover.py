"""One shard, from the object store into a directory.

Everything is made in ``<directory>/store.restoring`` and has its place, ``<directory>/store``, only when
it is whole: a restore that failed leaves what was there as it was, and the next one goes on with the
tables that it has. What was in the place before is kept beside it (D6).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from aidb.durability.catalog import Catalog
from aidb.durability.hold import Purpose
from aidb.durability.holding import held
from aidb.durability.identity import Place
from aidb.durability.loss import Loss, Lossy
from aidb.durability.manifest import Manifest
from aidb.durability.restore_plan import Step, Target
from aidb.errors import AidbError
from aidb.objects.errors import Damaged, Denied
from aidb_node._native import Store
from aidb_node.identity import STORE
from aidb_node.recovery.choice import Choice, choose
from aidb_node.recovery.replay import Replayed, replay
from aidb_node.recovery.tables import Fetched, Fetcher, sync_directory

WORK = f"{STORE}.restoring"
_MANIFEST = "MANIFEST"
_TABLES = "sst"
_LOG = "log"
_MEMTABLE_BYTES = 64 << 20
_CACHE_BYTES = 64 << 20

# (what is done, done of, total): bytes of tables, then pieces of the log.
Seen = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """``snapshot`` is empty if there was none and the log was whole from its begin. ``kept_aside``: where the
    store that was replaced lies now, if there was one.
    """

    snapshot: str
    snapshot_lsn: int
    lsn: int
    clock_ms: int
    epoch: int
    table_bytes: int
    downloaded_bytes: int
    pieces: int
    records: int
    log_bytes: int
    table_seconds: float
    replay_seconds: float
    loss: Loss | None
    kept_aside: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A restore that is whole, and not in its place yet."""

    report: Report
    directory: Path

    @property
    def work(self) -> Path:
        """Where it lies until then."""
        return self.directory / WORK

    def put_in_place(self) -> Report:
        """Raises OSError."""
        return replace(self.report, kept_aside=_put_in_place(self.directory))


class Options(TypedDict, total=False):
    """See `prepare`."""

    label: str
    at_once: int
    accept_loss: bool
    epoch: int
    seen: Seen


def recover(catalog: Catalog, directory: Path, target: Target, **options: Unpack[Options]) -> Report:
    """Restores the shard of ``catalog`` into ``directory``: `prepare`, and put in place."""
    return prepare(catalog, directory, target, **options).put_in_place()


def prepare(
    catalog: Catalog,
    directory: Path,
    target: Target,
    *,
    label: str = "",
    at_once: int = 8,
    accept_loss: bool = False,
    epoch: int = 0,
    seen: Seen = lambda _what, _done, _total: None,
) -> Prepared:
    """``epoch``: what the store is in at least, in the end.

    Raises:
        Lossy: what was asked for cannot be had whole.
        ObjectError: the store is away, an object is missing or damaged, there is nothing to begin from.
        AidbError, OSError: of the disk.
    """
    choice = choose(catalog, target, label)
    work = directory / WORK
    with held_while(catalog, choice):
        base = fetch(catalog, choice, directory, at_once, seen)
        store = open_snapshot(work, base.manifest)
        try:
            total = len(choice.steps)
            done = replay(store, catalog, choice.steps, target, lambda now: seen("log", now.pieces, total))
            if done.lsn < target.least_lsn and done.loss is None:
                done = _go_on(store, catalog, choice.steps, target.least_lsn, done)
            loss = done.loss or _short(done, target)
            if loss is not None and not accept_loss:
                raise Lossy(loss)
            store.flush()
            reached = store.position()[0]
        finally:
            store.close()
    if reached < epoch:
        reached = _begin_epoch(work, epoch)
    return Prepared(base.report(done, (reached, done.lsn, done.clock_ms), loss), directory)


@contextmanager
def held_while(catalog: Catalog, choice: Choice) -> Iterator[None]:
    """A hold of where the restore begins. Without the right to write, it goes on without one: retention might
    overtake it, and it would notice.
    """
    names, manifest = catalog.names, choice.manifest
    place = manifest.place if manifest else Place(names.cluster_uid, names.shard, choice.branches[-1].epoch)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Denied):
            stack.enter_context(held(catalog, Purpose.RESTORE, place))
        yield


@dataclass(frozen=True, slots=True)
class Base:
    """What a replay begins from: a snapshot, whose SSTs are there, or nothing. Of the monotonic clock."""

    manifest: Manifest | None
    fetched: Fetched
    began: float
    ended: float

    def report(self, done: Replayed, position: tuple[int, int, int], loss: Loss | None) -> Report:
        """``position``: (epoch, LSN, clock in ms) in the end."""
        epoch, lsn, clock_ms = position
        return Report(
            snapshot=self.manifest.label if self.manifest else "",
            snapshot_lsn=self.manifest.lsn if self.manifest else 0,
            lsn=lsn,
            clock_ms=clock_ms,
            epoch=epoch,
            table_bytes=self.fetched.total,
            downloaded_bytes=self.fetched.downloaded,
            pieces=done.pieces,
            records=done.records,
            log_bytes=done.bytes,
            table_seconds=self.ended - self.began,
            replay_seconds=time.monotonic() - self.ended,
            loss=loss,
            kept_aside="",
        )


def fetch(catalog: Catalog, choice: Choice, directory: Path, at_once: int, seen: Seen) -> Base:
    """Brings what the choice begins from, while it is held."""
    began = time.monotonic()
    manifest = choice.manifest
    if manifest is None:
        shutil.rmtree(directory / WORK, ignore_errors=True)
        return Base(None, Fetched(), began, time.monotonic())
    # Only now nothing of it can be collected; it may have been a moment ago.
    manifest = catalog.manifest(manifest.place.epoch, manifest.place.sequence)
    fetched = _fetch_tables(catalog, manifest, directory, at_once, seen)
    return Base(manifest, fetched, began, time.monotonic())


def _fetch_tables(catalog: Catalog, manifest: Manifest, directory: Path, at_once: int, seen: Seen) -> Fetched:
    work = directory / WORK
    # The log and the manifest of an attempt before are no use; its tables are.
    shutil.rmtree(work / _LOG, ignore_errors=True)
    (work / _MANIFEST).unlink(missing_ok=True)
    for name in (_TABLES, _LOG):
        (work / name).mkdir(parents=True, exist_ok=True)
    wanted = {Path(file.name).name for file in manifest.files}
    local = [work / _TABLES, directory / STORE / _TABLES]
    fetcher = Fetcher(catalog.store, catalog.names, at_once, lambda now: seen("tables", now.done, now.total))
    fetcher.fetch(manifest.files, work, [path for path in local if path.is_dir()])
    for path in (work / _TABLES).iterdir():
        if path.name not in wanted:
            path.unlink()
    with (work / _MANIFEST).open("wb") as file:
        file.write(manifest.engine)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(work)
    return fetcher.fetched


def open_snapshot(work: Path, manifest: Manifest | None, *, keep_log: bool = False) -> Store:
    """The snapshot as a store, or an empty one. ``keep_log``: see `Store`. Raises Damaged when it is not what
    its manifest says.
    """
    where = f"snapshot {manifest.label}" if manifest else str(work)
    try:
        store = Store(
            str(work),
            create=manifest is None,
            sync="none",
            cache_bytes=_CACHE_BYTES,
            memtable_bytes=_MEMTABLE_BYTES,
            compression="none",
            keep_log=keep_log,
        )
    except AidbError as error:
        raise Damaged(f"{where} does not open as a store: {error}") from error
    if manifest is None:
        return store
    epoch, lsn, _ = store.position()
    if (lsn, epoch) != (manifest.lsn, manifest.store_epoch):
        store.close()
        raise Damaged(
            f"{where} shows lsn {lsn} of epoch {epoch}, "
            f"its manifest says {manifest.lsn} of {manifest.store_epoch}"
        )
    return store


def _go_on(store: Store, catalog: Catalog, steps: Sequence[Step], lsn: int, before: Replayed) -> Replayed:
    """Beyond the time that was asked for, through ``lsn`` (D9)."""
    bounded = [replace(step, through=min(step.through, lsn)) for step in steps]
    done = replay(store, catalog, bounded, Target(lsn=lsn), lambda _: None)
    done.records += before.records
    done.pieces += before.pieces
    done.bytes += before.bytes
    if done.loss is None and done.lsn < lsn:
        done.loss = Loss("the archive ends there", done.lsn, done.clock_ms, lsn, None)
    return done


def _begin_epoch(work: Path, epoch: int) -> int:
    """The record is in the log when this returns, and stays there: with it the archive goes on, from the LSN
    that was restored.
    """
    store = Store(
        str(work),
        create=False,
        sync="group",
        cache_bytes=1 << 20,
        memtable_bytes=_MEMTABLE_BYTES,
        compression="none",
    )
    try:
        store.begin_epoch(epoch)
        return store.position()[0]
    finally:
        store.close()


def _short(done: Replayed, target: Target) -> Loss | None:
    """An LSN was asked for, and the archive ends before it."""
    if done.reached or target.lsn == Target().lsn:
        return None
    return Loss("the archive ends there", done.lsn, done.clock_ms, target.lsn, None)


def _put_in_place(directory: Path) -> str:
    place, aside = directory / STORE, ""
    if place.exists():
        kept = directory / f"{STORE}.replaced-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}"
        place.rename(kept)
        aside = str(kept)
    (directory / WORK).rename(place)
    sync_directory(directory)
    return aside
