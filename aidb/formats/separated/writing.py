"""Records as rows."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

from aidb.formats.lines import BYTE_ORDER_MARK
from aidb.formats.record import BadFile, NotExpressible
from aidb.formats.separated.table import PAIR, Malformed, Table, as_json, named

_ROW_END = b"\r\n"


class Writer:
    """Writes rows that `read` with the same table gives back; a header goes before the first of them."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._delimiter = table.delimiter.encode()
        self._special = re.compile(b'["\r\n' + re.escape(self._delimiter) + b"]")
        self._begun = False
        self._names: list[str] | None = None

    def encode(self, key: bytes, value: bytes, expires_at_ms: int) -> bytes:
        """The row, and before the first the header.

        Raises:
            NotExpressible: reading the row would give another record.
            BadFile: no row can be written with this table.
        """
        table = self._table
        if table.key is None:
            header: Sequence[str] = PAIR
            cells = _pair(key, value, expires_at_ms)
        elif table.value is None:
            header, cells = self._whole(key, value)
        else:
            header, cells = self._two(table.key, table.value, key, value)
        row = self._row(cells)
        if not self._begun and table.header:
            row = self._row([name.encode() for name in header]) + row
        self._begun = True
        return row

    def _two(self, key_name: str, value_name: str, key: bytes, value: bytes) -> tuple[list[str], list[bytes]]:
        if self._table.header or (key_name, value_name) == ("1", "2"):
            return [key_name, value_name], [key, value]
        if (key_name, value_name) == ("2", "1"):
            return [value_name, key_name], [value, key]
        raise BadFile("a file without a header is written with the columns 1 and 2")

    def _whole(self, key: bytes, value: bytes) -> tuple[list[str], list[bytes]]:
        """The first record's columns are those of all."""
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise NotExpressible(f"it is no row as JSON: {error}") from error
        if self._table.header:
            names, cells = (list(found), list(found.values())) if isinstance(found, dict) else ([], [])
        else:
            cells = found if isinstance(found, list) else []
            names = [str(number + 1) for number in range(len(cells))]
        if not cells or not all(isinstance(cell, str) for cell in cells):
            raise NotExpressible("it is no row as JSON: text by column")
        if self._names is not None and names != self._names:
            raise NotExpressible(f"its columns are {named(names)}, those of the file {named(self._names)}")
        assert self._table.key is not None
        content = [cell.encode("utf-8", "surrogatepass") for cell in cells]
        if self._table.key not in names or content[names.index(self._table.key)] != key:
            raise NotExpressible(f"its {self._table.key} is not its key")
        try:
            as_stored = as_json(names if self._table.header else None, content)
        except Malformed as error:
            raise NotExpressible(str(error)) from error
        if as_stored != value:
            raise NotExpressible("it is JSON, but not as rows are stored")
        self._names = names
        return names, content

    def _row(self, cells: Sequence[bytes]) -> bytes:
        row = self._delimiter.join(map(self._cell, cells))
        # An empty line is no row.
        return (row or b'""') + _ROW_END

    def _cell(self, cell: bytes) -> bytes:
        if self._special.search(cell) or cell.startswith(BYTE_ORDER_MARK):
            return b'"' + cell.replace(b'"', b'""') + b'"'
        return cell


def _pair(key: bytes, value: bytes, expires_at_ms: int) -> list[bytes]:
    expires = str(expires_at_ms).encode() if expires_at_ms else b""
    try:
        # Many programs end text at a NUL.
        if "\0" not in key.decode() and "\0" not in value.decode():
            return [key, value, b"utf-8", expires]
    except UnicodeDecodeError:
        pass
    return [base64.b64encode(key), base64.b64encode(value), b"base64", expires]
