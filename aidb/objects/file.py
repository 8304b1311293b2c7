"""A directory as an object store.

A create writes a temporary file, syncs it, and links it to its name: link() fails when the name is taken,
in whatever way creates race, and a name never shows half an object. Then the directory is synced.
(Rejected: rename, which replaces; O_EXCL, which shows an object while it is written.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from aidb.objects.errors import Denied, Exists, NoSuchBucket, NoSuchKey, ObjectError, Unavailable, Unusable
from aidb.objects.store import PAGE, Stat, check_key

_TEMPORARY = ".unfinished"
# What a crash left of creates is removed when it is this old.
_LEFT_OVER_SECONDS = 86_400.0
_COPY_BYTES = 1 << 20


class FileStore:
    """The objects below ``root``, which is made if it is missing."""

    fenced = True

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._unfinished = self._root / _TEMPORARY
        try:
            _make_directory(self._unfinished)
            self._remove_left_over()
        except OSError as error:
            raise _translated(error, str(self._root), self.url) from error

    @property
    def url(self) -> str:
        return f"file://{self._root}"

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            with self._path(key).open("rb") as file:
                file.seek(start)
                return file.read() if length is None else file.read(length)
        except OSError as error:
            raise _translated(error, key, self.url) from error

    def create(self, key: str, body: bytes) -> None:
        def write(file: BinaryIO) -> None:
            file.write(body)

        self._create(key, write)

    def create_file(self, key: str, path: Path) -> None:
        def write(file: BinaryIO) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file, _COPY_BYTES)

        self._create(key, write)

    def head(self, key: str) -> Stat:
        try:
            found = self._path(key).stat()
        except OSError as error:
            raise _translated(error, key, self.url) from error
        return Stat(key, found.st_size, found.st_mtime)

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        try:
            return list(islice(_walk(self._root, "", prefix, after), PAGE))
        except OSError as error:
            raise _translated(error, prefix, self.url) from error

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
            _sync(path.parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _translated(error, key, self.url) from error

    def close(self) -> None:
        pass

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _create(self, key: str, write: Callable[[BinaryIO], None]) -> None:
        path = self._path(key)
        temporary = self._unfinished / uuid.uuid4().hex
        try:
            try:
                with temporary.open("xb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                _make_directory(path.parent)
                try:
                    os.link(temporary, path)
                finally:
                    # Also when it is taken: what another process linked a moment ago must last before it
                    # is relied on.
                    _sync(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
        except FileExistsError as error:
            raise Exists(key, self.url) from error
        except OSError as error:
            raise _translated(error, key, self.url) from error

    def _remove_left_over(self) -> None:
        for entry in os.scandir(self._unfinished):
            # Others create at this moment: what was there may have got its name meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < time.time() - _LEFT_OVER_SECONDS:
                    Path(entry.path).unlink()


def _walk(directory: Path, under: str, prefix: str, after: str) -> Iterator[Stat]:
    """In order of the keys: a directory stands where its name with a slash does."""
    names = [(entry.name + "/" * entry.is_dir(), entry) for entry in os.scandir(directory)]
    for name, entry in sorted(names, key=lambda item: item[0]):
        key = under + name
        if name.startswith("."):
            continue
        if name.endswith("/"):
            within = key.startswith(prefix) or prefix.startswith(key)
            # All keys below begin with `key`: they come before `after` unless it begins so too, or is
            # smaller.
            if within and (after < key or after.startswith(key)):
                yield from _walk(Path(entry.path), key, prefix, after)
        elif key.startswith(prefix) and key > after:
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue
            yield Stat(key, found.st_size, found.st_mtime)


def _make_directory(directory: Path) -> None:
    """With its parents; each new name lasts."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    _sync(directory.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(error: OSError, key: str, where: str) -> ObjectError:
    reason = f"{key} in {where}: {error.strerror or error}"
    if isinstance(error, FileNotFoundError):
        return NoSuchKey(key, where) if Path(where.removeprefix("file://")).is_dir() else NoSuchBucket(reason)
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return NoSuchKey(key, where)
    if isinstance(error, PermissionError):
        return Denied(f"{reason}; give this user the right to write there")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"{reason}; free some space")
    if error.errno == errno.EROFS:
        return Unusable(f"{reason}; choose a directory that can be written")
    return Unavailable(reason)
