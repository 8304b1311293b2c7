"""The formats by name, behind one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, get_args

from aidb.formats import deb822, jsonl
from aidb.formats.record import Position, Record, Rejected

FormatName = Literal["deb822", "jsonl"]
FORMATS: tuple[str, ...] = get_args(FormatName)


@dataclass(frozen=True, slots=True)
class Format:
    """``read(stream, start)`` yields records; ``encode(key, value, expires_at_ms)`` raises NotExpressible."""

    name: str
    read: Callable[[BinaryIO, Position], Iterator[Record | Rejected]]
    encode: Callable[[bytes, bytes, int], bytes]


def open_format(name: FormatName, key_field: str | None = None) -> Format:
    """The format ``name`` with records keyed by ``key_field`` (deb822: Package; JSON Lines: pairs)."""
    if name == "deb822":
        field = key_field or deb822.DEFAULT_KEY
        return Format(
            name,
            lambda stream, start: deb822.read(stream, field, start),
            lambda _, value, __: deb822.encode(value),
        )
    if key_field is None:
        return Format(name, lambda stream, start: jsonl.read(stream, None, start), jsonl.encode)
    return Format(
        name,
        lambda stream, start: jsonl.read(stream, key_field, start),
        lambda key, value, _: jsonl.encode_whole(key, value, key_field),
    )
