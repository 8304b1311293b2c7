"""What lies where below a data directory."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from aidb.local.refusal import Refused

DEFAULT_DATA = ".aidb"


def default_data() -> Path:
    """``$AIDB_DATA``, else ``.aidb`` in the working directory."""
    return Path(os.environ.get("AIDB_DATA") or DEFAULT_DATA)


@dataclass(frozen=True, slots=True)
class Layout:
    """``root`` is absolute."""

    root: Path

    @classmethod
    def at(cls, data: Path) -> Layout:
        return cls(data.absolute())

    @property
    def description(self) -> Path:
        return self.root / "local.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for life; holds its pid."""
        return self.root / "supervisor.lock"

    @property
    def state(self) -> Path:
        """What the supervisor last said about its children."""
        return self.root / "supervisor.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def directory(self, name: str) -> Path:
        """Where a program keeps its data: ``coordinator``, ``shard-0``, ..."""
        return self.root / name.removesuffix("-primary")

    @property
    def security(self) -> Path:
        """Certificates and tokens of a secured cluster."""
        return self.root / "security"

    def make_writable(self) -> None:
        """Make the directory if it is missing.

        Raises:
            Refused: it cannot be made or written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            what = error.strerror or str(error)
            raise Refused(
                f"cannot write to the data directory {self.root}: {what}; choose another with --data"
            ) from error


def write_atomically(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace ``path`` in one step; ``durable`` also survives a crash of the machine.

    Raises:
        OSError: no space, no right.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    if durable:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
