"""A file system of its own that can be filled up. Mounting needs root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

_FILLER = "filler"


class SmallDisk:
    """A context manager; `path` is created and mounted on, and unmounted at the end."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self._size = size_bytes

    def __enter__(self) -> Self:
        """Raises OSError, CalledProcessError."""
        self.path.mkdir()
        options = f"size={self._size},mode=0700"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)], check=True, capture_output=True
        )
        return self

    def __exit__(self, *exc: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self) -> int:
        """Takes all of its room, again and again until there is none; returns the bytes taken."""
        taken = 0
        with (self.path / _FILLER).open("ab") as filler:
            while room := self._room():
                try:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, room)
                except OSError:
                    continue
                taken += room
        return taken

    def free(self) -> None:
        (self.path / _FILLER).unlink(missing_ok=True)

    def _room(self) -> int:
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize
