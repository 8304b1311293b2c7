"""How far an import of a file has come: a small JSON file beside it, ``FILE.aidb-import``.

Written after each acknowledged batch, by rename; removed when the import is done. It names what it belongs
to (the cluster's address, keyspace, format, key field, columns, size and time of the file): `--resume`
refuses anything else: going on in another file, or at another cluster, would leave records out in silence.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aidb.cli.exits import Exit, Failure
from aidb.formats import BEGINNING, Columns, Position


@dataclass(frozen=True, slots=True)
class Identity:
    """What an import is of. ``size`` in bytes, ``modified`` in ns since 1970."""

    address: str
    format: str
    key: str | None
    size: int
    modified: int
    columns: dict[str, Any] = field(default_factory=dict)
    keyspace: int = 0


@dataclass(slots=True)
class Counts:
    """Of all runs of one import."""

    records: int = 0
    bytes: int = 0
    rejected: int = 0
    expired: int = 0


class Checkpoint:
    """The file beside ``source``."""

    def __init__(self, source: Path, identity: Identity) -> None:
        self.path = source.with_name(source.name + ".aidb-import")
        self._identity = asdict(identity)

    def load(self) -> tuple[Position, Counts]:
        """Where to go on; the beginning when there is no checkpoint.

        Raises:
            Failure: it is of another import, or damaged.
        """
        try:
            found: dict[str, Any] = json.loads(self.path.read_bytes())
            position, counts = Position(*found["position"]), Counts(**found["counts"])
            identity = found["of"]
        except FileNotFoundError:
            return BEGINNING, Counts()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Failure(
                f"cannot read {self.path}: {error}; remove it, or import without --resume", Exit.BAD_INPUT
            ) from error
        if identity != self._identity:
            differing = sorted(name for name in self._identity if identity.get(name) != self._identity[name])
            raise Failure(
                f"{self.path} is of another import (it differs in {', '.join(differing)}): "
                "import without --resume",
                Exit.BAD_INPUT,
            )
        return position, counts

    def save(self, position: Position, counts: Counts) -> None:
        """Replaces it. Raises OSError."""
        content = json.dumps({"of": self._identity, "position": position, "counts": asdict(counts)})
        partial = self.path.with_name(self.path.name + ".new")
        partial.write_text(content)
        partial.replace(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def identify(
    source: Path, address: str, keyspace: int, format: str, key: str | None, columns: Columns
) -> Identity:
    """Raises OSError."""
    status = source.stat()
    return Identity(address, format, key, status.st_size, status.st_mtime_ns, asdict(columns), keyspace)
