"""A store in this process as a primary, a model of what it held at each LSN, and what tests look at."""

from __future__ import annotations

import threading
from pathlib import Path

from aidb_node._native import Store
from aidb_node.backup.archive import Archive
from aidb_node.backup.primary import Chunk
from aidb_node.backup.rate import RateLimit
from aidb_node.backup.snapshots import Snapshots, Uploaded
from aidb_node.recovery.origin import Origin

from aidb.durability.catalog import Catalog
from aidb.durability.manifest import Manifest
from aidb.durability.names import Names
from aidb.objects.store import ObjectStore

NAMES = Names("uid", 0)
DISK = "disk-a"
State = dict[bytes, bytes]


def open_store(
    path: Path, memtable_bytes: int = 1 << 20, *, create: bool = True, keep_log: bool = False
) -> Store:
    return Store(
        str(path),
        create=create,
        sync="none",
        cache_bytes=1 << 20,
        memtable_bytes=memtable_bytes,
        compression="none",
        keep_log=keep_log,
    )


def contents(store: Store) -> State:
    with store.scan(b"", b"", None, False, False, None) as scan:
        return {entry.key: entry.value for entry in scan}


class Primary:
    """What the second copy needs, of an embedded store; ``proofs`` has what was said to be archived, and
    when sent.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.proofs: list[tuple[int, int]] = []
        self.evidence_ms = 0
        self.began = -1

    def log_after(self, lsn: int, max_bytes: int) -> Chunk | None:
        return self.store.log_after(lsn, max_bytes)

    def archive_begins(self, lsn: int) -> None:
        self.began = lsn

    def archived(self, lsn: int, bytes: int, epoch: int, first_sent_ns: int) -> None:
        self.proofs.append((lsn, first_sent_ns))

    def log_position(self) -> tuple[int, int, int]:
        _, lsn, clock_ms = self.store.position()
        return 0, lsn, clock_ms

    def evidence_age_ms(self) -> int:
        return self.evidence_ms

    def checkpoint(self, path: str) -> tuple[int, int, int, list[tuple[str, int]]]:
        lsn = self.store.checkpoint(path)
        epoch, _, clock_ms = self.store.position()
        files = [item for item in Path(path).rglob("*") if item.is_file()]
        return lsn, epoch, clock_ms, [(str(item.relative_to(path)), item.stat().st_size) for item in files]


class History:
    """Writes, and remembers the state after each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now: State = {}
        self.states: dict[int, State] = {0: {}}

    def put(self, key: bytes, value: bytes) -> int:
        lsn = self.store.write_one((key, value, 0, "", 0))
        self.now[key] = value
        self.states[lsn] = dict(self.now)
        return lsn

    def delete(self, key: bytes) -> int:
        lsn = self.store.write_one((key, None, 0, "", 0))
        self.now.pop(key, None)
        self.states[lsn] = dict(self.now)
        return lsn


def archive_of(
    store: ObjectStore, primary: Primary, epoch: int = 1, id: str = DISK, origin: Origin | None = None
) -> Archive:
    said: list[str] = []
    return Archive(
        Catalog(store, NAMES),
        primary,
        epoch=epoch,
        id=id,
        owner="p",
        lease_ms=10_000,
        on_gap=said.append,
        on_notice=said.append,
        origin=origin,
    )


def synced(primary: Primary) -> None:
    """Everything written so far is on disk, and so may be archived."""
    primary.store.flush()


def catch_up(archive: Archive) -> None:
    if not archive.is_open:
        archive.open()
    while archive.step():
        pass


def snapshots_of(store: ObjectStore, primary: Primary, directory: Path) -> Snapshots:
    return Snapshots(Catalog(store, NAMES), primary, directory, RateLimit(0), threading.Event())


def snapshot(
    store: ObjectStore, primary: Primary, directory: Path, archive: Archive, epoch: int = 1
) -> tuple[Manifest, Uploaded]:
    seen = Uploaded()
    taken = snapshots_of(store, primary, directory).take("", epoch, lambda: archive.position, seen)
    return taken, seen
