"""The topology in a directory, for one coordinator on one machine.

    LOCK                     flock held for life: the leadership
    topology.json            as `aidb.topology_file` says
    topology.previous.json   the state before it, for people
    topology.json.new        a write that did not end

A write goes: new file, fsync; the current file gets its second name `topology.previous.json`; rename over the
current; fsync of the directory. A crash leaves the old or the new state, whole. When the last fsync fails
neither is certain, hence StoreBroken.
A damaged file is refused, never replaced by the previous one: that has older epochs, which would be granted
twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
from pathlib import Path

from aidb_coordinator.store import Conflict, Store, StoreBroken, Stored, StoreError
from aidb_coordinator.store.content import decode, encode
from aidb_coordinator.topology import Topology

LOCK = "LOCK"
CURRENT = "topology.json"
PREVIOUS = "topology.previous.json"
UNFINISHED = "topology.json.new"
EVENTS = "events.jsonl"
CHANGES = "changes.jsonl"
# Names that a directory may hold before its first topology was written.
_HARMLESS = {LOCK, UNFINISHED, EVENTS, CHANGES, "lost+found"}


class FileStore(Store):
    """Raises StoreError when the directory is somebody else's, locked, not writable or foreign."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: tuple[Stored, _Identity] | None = None
        self._lock = _lock(directory)
        try:
            self._check_own()
        except BaseException:
            self.close()
            raise

    def load(self) -> Stored | None:
        path = self._directory / CURRENT
        try:
            with path.open("rb") as file:
                text, identity = file.read(), _identity(os.fstat(file.fileno()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        advice = f"restore it from a copy; the state before it is in {PREVIOUS}"
        topology, revision = decode(str(path), text, advice)
        stored = Stored(topology, str(revision))
        self._last = stored, identity
        return stored

    def swap(self, expected: str | None, topology: Topology) -> Stored:
        stored = self._newest()
        if (stored.revision if stored else None) != expected:
            raise Conflict(
                f"{self._directory / CURRENT} was changed by somebody else: it is not at revision {expected}"
            )
        revision = 1 if stored is None else int(stored.revision) + 1
        new, current = self._directory / UNFINISHED, self._directory / CURRENT
        try:
            identity = _write_synced(new, encode(topology, revision))
            if stored is not None:
                self._keep_previous(current)
        except OSError as error:
            raise StoreError(
                f"cannot write the topology to {new}: {error.strerror}; nothing was changed"
            ) from error
        try:
            new.replace(current)
            _sync_directory(self._directory)
        except OSError as error:
            raise StoreBroken(f"cannot tell whether {current} was replaced: {error.strerror}") from error
        written = Stored(topology, str(revision))
        self._last = written, identity
        return written

    def _newest(self) -> Stored | None:
        """What the file holds, read only when it is not the one last seen: the lock keeps coordinators
        away, not editors.
        """
        try:
            found = _identity((self._directory / CURRENT).stat())
        except FileNotFoundError:
            return None
        if self._last is not None and self._last[1] == found:
            return self._last[0]
        return self.load()

    def leads_until(self) -> float:
        return math.inf

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _check_own(self) -> None:
        names = {entry.name for entry in self._directory.iterdir()}
        if CURRENT in names:
            return
        if PREVIOUS in names:
            raise StoreError(
                f"{self._directory / CURRENT} is missing, but {PREVIOUS} is there: "
                f"put the newest copy of {CURRENT} back"
            )
        foreign = sorted(names - _HARMLESS)
        if foreign:
            raise StoreError(
                f"{self._directory} is not a coordinator's directory, it holds {', '.join(foreign[:3])}: "
                "name an empty directory, or the one of this cluster"
            )

    def _keep_previous(self, current: Path) -> None:
        link = self._directory / (PREVIOUS + ".new")
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        os.link(current, link)
        link.replace(self._directory / PREVIOUS)


def _lock(directory: Path) -> int:
    """The descriptor that holds the lock; it ends with the process, however that ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"cannot use {directory} as data directory: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(
            f"{directory} is locked: another coordinator runs on it; stop that one first"
        ) from error
    return descriptor


# Inode, size and time of change: another file, or another content, differs in one of them.
_Identity = tuple[int, int, int]


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _write_synced(path: Path, text: bytes) -> _Identity:
    with path.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        return _identity(os.fstat(file.fileno()))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
