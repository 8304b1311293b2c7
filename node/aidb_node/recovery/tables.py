"""Brings a snapshot's SSTs into a directory: those that are on this disk already are linked if their
checksum is the right one, the others are downloaded, several at a time. A file has its name only when its
content was checked.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aidb.durability.manifest import File
from aidb.durability.names import Names
from aidb.objects.errors import Damaged, NoSuchKey, ObjectError
from aidb.objects.store import ObjectStore

_CHUNK = 8 << 20


@dataclass(slots=True)
class Fetched:
    """Bytes of all files, of those that are in place, and of those that came from the store."""

    total: int = 0
    done: int = 0
    downloaded: int = 0


class Fetcher:
    """``seen`` is called after each change of `fetched`."""

    def __init__(
        self, store: ObjectStore, names: Names, at_once: int, seen: Callable[[Fetched], None]
    ) -> None:
        self._store = store
        self._names = names
        self._at_once = at_once
        self._seen = seen
        self._lock = threading.Lock()
        self._failed = threading.Event()
        self.fetched = Fetched()

    def fetch(self, files: Iterable[File], directory: Path, local: Iterable[Path]) -> None:
        """``local``: directories that may hold some of the files, under whatever names.

        Raises:
            Damaged: an object is missing or is not what the manifest says.
            ObjectError, OSError
        """
        files = list(files)
        self.fetched.total = sum(file.size for file in files)
        found = _by_size(local, {file.size for file in files})
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="download") as pool:
            futures = [
                pool.submit(self._one, file, directory / file.name, found.get(file.size, []))
                for file in files
            ]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._failed.set()
                pool.shutdown(cancel_futures=True)
                raise
        for parent in {(directory / file.name).parent for file in files}:
            sync_directory(parent)

    def _one(self, file: File, path: Path, candidates: list[Path]) -> None:
        if not (path.exists() and _sum(path) == file.sha256) and not _link(file, path, candidates):
            self._download(file, path)
            self._count(0, file.size)
        self._count(file.size, 0)

    def _download(self, file: File, path: Path) -> None:
        key = self._names.table(file.sha256)
        partial = path.with_name(f"{path.name}.partial")
        digest = hashlib.sha256()
        size = 0
        try:
            with partial.open("wb") as target:
                while size < file.size and not self._failed.is_set():
                    chunk = self._store.get(key, size, min(_CHUNK, file.size - size))
                    if not chunk:
                        break
                    target.write(chunk)
                    target.flush()
                    _begin_write_back(target, size, len(chunk))
                    digest.update(chunk)
                    size += len(chunk)
                os.fsync(target.fileno())
        except NoSuchKey as error:
            raise Damaged(
                f"{key}, which holds {file.name} of the snapshot, is missing in {self._store.url}"
            ) from error
        if self._failed.is_set():
            raise ObjectError("another download failed")
        if size != file.size or digest.hexdigest() != file.sha256:
            partial.unlink()
            what = (
                f"has {size} bytes, not {file.size}"
                if size != file.size
                else "has another content than its name says"
            )
            raise Damaged(f"{key}, which holds {file.name} of the snapshot, {what} in {self._store.url}")
        partial.replace(path)

    def _count(self, done: int, downloaded: int) -> None:
        with self._lock:
            self.fetched.done += done
            self.fetched.downloaded += downloaded
            self._seen(self.fetched)


def sync_directory(directory: Path) -> None:
    """Names in it last. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _begin_write_back(file: BinaryIO, start: int, length: int) -> None:
    """The disk begins with it while more is fetched and hashed, not only at the sync in the end: Linux does
    so when it is told that nobody needs it. What is being written stays in memory.
    """
    if sys.platform == "linux":
        os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_DONTNEED)


def _by_size(directories: Iterable[Path], sizes: set[int]) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for directory in directories:
        for path in directory.glob("*.sst"):
            size = path.stat().st_size
            if size in sizes:
                found.setdefault(size, []).append(path)
    return found


def _link(file: File, path: Path, candidates: list[Path]) -> bool:
    for candidate in candidates:
        if _sum(candidate) == file.sha256:
            path.unlink(missing_ok=True)
            os.link(candidate, path)
            return True
    return False


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
