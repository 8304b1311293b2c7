"""What a file of rows looks like, and a row as it is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from aidb.formats.record import BadFile

PAIR = ("key", "value", "encoding", "expires_at_ms")


class Malformed(ValueError):
    """The row is no record."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a file looks like. ``key`` and ``value`` name columns; see above. ``delimiter`` is one ASCII
    character.
    """

    delimiter: str = ","
    header: bool = True
    key: str | None = None
    value: str | None = None

    def __post_init__(self) -> None:
        """Raises BadFile."""
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
            raise BadFile(
                f"{self.delimiter!r} is no delimiter: give one ASCII character, no quote or line end"
            )
        if self.value is not None and self.key is None:
            raise BadFile("a value column goes with a key column: name it, too")
        if self.value is not None and self.value == self.key:
            raise BadFile(f"{self.key!r} cannot be the key's column and the value's")


def as_json(names: Sequence[str] | None, cells: Sequence[bytes]) -> bytes:
    """A row as it is stored: an object by ``names``, or an array. Raises Malformed."""
    try:
        texts = [cell.decode() for cell in cells]
    except UnicodeDecodeError as error:
        raise Malformed(
            "a cell is not UTF-8, and rows are stored as JSON: name a column for the value (--value-column)"
        ) from error
    row = texts if names is None else dict(zip(names, texts, strict=True))
    return json.dumps(row, ensure_ascii=False).encode()


def named(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name if len(name) <= 40 else f"{name[:40]}...") for name in names[:20])
    return f"{listed} and {len(names) - 20} more" if len(names) > 20 else listed
