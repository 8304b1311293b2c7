"""The formats by name, behind one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, get_args

from aidb.formats import deb822, jsonl, separated
from aidb.formats.record import BadFile, Position, Record, Rejected

FormatName = Literal["deb822", "jsonl", "csv", "tsv"]
FORMATS: tuple[str, ...] = get_args(FormatName)
# Tables come from elsewhere more often than not: what is wrong there is told before any of it is written.
CHECKED_FIRST = ("csv", "tsv")


@dataclass(frozen=True, slots=True)
class Format:
    """``read(stream, start)`` yields records; ``encode(key, value, expires_at_ms)`` raises NotExpressible; of
    CSV and TSV the first row comes with the header."""

    name: str
    read: Callable[[BinaryIO, Position], Iterator[Record | Rejected]]
    encode: Callable[[bytes, bytes, int], bytes]


@dataclass(frozen=True, slots=True)
class Columns:
    """Of CSV and TSV: the column of values, whether there is a header, the delimiter (by the format)."""

    value: str | None = None
    header: bool = True
    delimiter: str | None = None


def open_format(name: FormatName, key_field: str | None = None, columns: Columns | None = None) -> Format:
    """The format ``name`` with records keyed by ``key_field`` (deb822: Package; others: pairs).

    Raises:
        BadFile: nothing can be read or written so.
    """
    if name in ("csv", "tsv"):
        chosen = columns or Columns()
        delimiter = chosen.delimiter or ("," if name == "csv" else "\t")
        table = separated.Table(delimiter, chosen.header, key_field, chosen.value)
        writer = separated.Writer(table)
        return Format(name, lambda stream, start: separated.read(stream, table, start), writer.encode)
    if columns is not None and columns != Columns():
        raise BadFile(f"{name} has no columns, no header and no delimiter: those are csv's and tsv's")
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
