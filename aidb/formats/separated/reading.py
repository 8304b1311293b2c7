"""Rows as records."""

from __future__ import annotations

import base64
import binascii
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from aidb.formats.lines import lines
from aidb.formats.record import BEGINNING, BadFile, Position, Record, Rejected
from aidb.formats.separated.table import PAIR, Malformed, Table, as_json, named

# A value of 16 MiB in base64 is a cell of 22 MiB. The parser takes four bytes of memory for each of a cell's.
CELL_LIMIT = 24 << 20
LINE_LIMIT = 32 << 20


@dataclass(frozen=True, slots=True)
class _Row:
    """``line`` counts from 1 and is where the row begins."""

    cells: list[bytes]
    line: int
    end: Position


def read(stream: BinaryIO, table: Table, start: Position = BEGINNING) -> Iterator[Record | Rejected]:
    """The rows of ``stream``, which stands at ``start``; to go on behind the beginning of a file with a
    header, it has to be one that can be sought.

    Raises:
        BadFile: there is no such column, or the header is none.
    """
    columns: _Columns | None = None
    if table.header and start != BEGINNING:
        stream.seek(0)
        columns = _header(next(_rows(stream, BEGINNING, table.delimiter), None), table)
        stream.seek(start.offset)
    for row in _rows(stream, start, table.delimiter):
        if columns is None and table.header:
            columns = _header(row, table)
            continue
        if isinstance(row, Rejected):
            yield row
            continue
        if columns is None:
            columns = _Columns.of([str(number + 1) for number in range(len(row.cells))], table)
        try:
            yield columns.record(row)
        except Malformed as error:
            yield Rejected(row.line, str(error), row.end)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where they are."""

    names: list[str]
    key: int
    value: int | None
    encoding: int | None
    expires: int | None
    header: bool

    @classmethod
    def of(cls, names: list[str], table: Table) -> _Columns:
        """Raises BadFile."""
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise BadFile(f"line 1: the column {named([twice])} occurs twice")
        if table.key is not None:
            value = None if table.value is None else _place(names, table.value)
            return cls(names, _place(names, table.key), value, None, None, table.header)
        known = names if table.header else list(PAIR[: len(names)])
        if "key" not in known or "value" not in known:
            raise BadFile(
                f"line 1: the columns are {named(names)}: name that of the key (--key-column), "
                "or have columns 'key' and 'value'"
            )
        places = {name: known.index(name) for name in PAIR if name in known}
        return cls(
            names, places["key"], places["value"], places.get("encoding"), places.get(PAIR[3]), table.header
        )

    def record(self, row: _Row) -> Record:
        """Raises Malformed."""
        cells = row.cells
        if len(cells) != len(self.names):
            raise Malformed(f"the row has {len(cells)} cells, where {len(self.names)} are due")
        key = cells[self.key]
        value = (
            as_json(self.names if self.header else None, cells) if self.value is None else cells[self.value]
        )
        encoding = b"" if self.encoding is None else cells[self.encoding]
        if encoding == b"base64":
            key, value = _base64("key", key), _base64("value", value)
        elif encoding not in (b"", b"utf-8"):
            raise Malformed(
                f"the encoding {encoding.decode('utf-8', 'replace')!r} is neither utf-8 nor base64"
            )
        if not key:
            raise Malformed("the key is empty")
        expires = b"" if self.expires is None else cells[self.expires]
        if expires and not (expires.isdigit() and len(expires) < 20 and int(expires) < 2**63):
            raise Malformed("expires_at_ms is no time in milliseconds")
        return Record(key, value, row.end, int(expires or 0))


def _rows(stream: BinaryIO, start: Position, delimiter: str) -> Iterator[_Row | Rejected]:
    """What is no row is rejected, and reading goes on with the line behind it."""
    csv.field_size_limit(CELL_LIMIT)
    end, whole = start, True

    def texts() -> Iterator[str]:
        nonlocal end, whole
        for line in lines(stream, start, LINE_LIMIT):
            end, whole = line.end, whole and line.whole
            yield line.content.decode("latin-1")

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    while True:
        begin, whole = end.line + 1, True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(begin, f"no row: {error}", end)
            continue
        if not whole:
            yield Rejected(begin, f"the line is longer than {LINE_LIMIT >> 20} MiB", end)
        elif cells:
            yield _Row([cell.encode("latin-1") for cell in cells], begin, end)


def _header(row: _Row | Rejected | None, table: Table) -> _Columns | None:
    """Raises BadFile."""
    if row is None:
        return None
    if isinstance(row, Rejected):
        raise BadFile(f"line {row.line}: the header: {row.reason}")
    try:
        names = [cell.decode() for cell in row.cells]
    except UnicodeDecodeError as error:
        raise BadFile(f"line {row.line}: the header is not UTF-8") from error
    return _Columns.of(names, table)


def _place(names: list[str], wanted: str) -> int:
    if wanted not in names:
        raise BadFile(f"there is no column {wanted!r}: there are {named(names)}")
    return names.index(wanted)


def _base64(name: str, cell: bytes) -> bytes:
    try:
        return base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"the {name} is not base64: {error}") from error
