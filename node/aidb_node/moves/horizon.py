"""The newest topology by which this directory's slots were changed: what an older one says is not obeyed.

A coordinator that was started with an old copy of its document would have slots deleted that have moved since
(D8 refuses such a document where there is an object store; here is the last guard where there is none).
"""

from __future__ import annotations

import os
from pathlib import Path

FILE = "topology-obeyed"


class Horizon:
    """Of one data directory."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError, ValueError for a file that is damaged."""
        self._path = directory / FILE
        self.version = int(self._path.read_text()) if self._path.exists() else 0

    def raise_to(self, version: int) -> None:
        """On disk when this returns. Raises OSError."""
        if version <= self.version:
            return
        temporary = self._path.with_name(f".{FILE}.{os.getpid()}")
        with temporary.open("w") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.version = version
