"""SHA-256 of a store's SSTs, each computed once in its life: they never change under their name.

Remembered in a file beside the store, by name, size, inode and time of change of the content: a store that
was restored in place gives names anew. The file is a cache; without it, or with a damaged one, sums are
computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path

FILE = "table-sums.json"


class TableSums:
    """Of the tables of the store in ``directory``; safe from several threads."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._known: dict[str, list[int | str]] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._known = dict(json.loads(self._path.read_bytes()).items())

    def of(self, path: Path) -> str:
        """Raises OSError."""
        found = path.stat()
        identity = [found.st_size, found.st_ino, found.st_mtime_ns]
        with self._lock:
            known = self._known.get(path.name)
        if known is not None and known[:3] == identity:
            return str(known[3])
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            self._known[path.name] = [*identity, sha256]
        return sha256

    def save(self, names: set[str]) -> None:
        """Keeps what is known of ``names``. Raises OSError."""
        with self._lock:
            self._known = {name: known for name, known in self._known.items() if name in names}
            content = json.dumps(self._known)
        partial = self._path.with_name(f".{FILE}.{os.getpid()}")
        partial.write_text(content)
        partial.replace(self._path)
