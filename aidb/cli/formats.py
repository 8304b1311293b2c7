"""The format that options name, and files of it checked as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.progress import Advance
from aidb.formats import BadFile, Columns, Format, Record, Rejected, open_format
from aidb.formats.choice import FormatName

_REASONS_SHOWN = 5
_SHOW_EACH = 10_000


def opened(name: str, key: str | None, columns: Columns) -> Format:
    """Raises Failure."""
    with bad_files():
        return open_format(cast(FormatName, name), key, columns)


@contextmanager
def bad_files() -> Iterator[None]:
    """What a file is not becomes a Failure."""
    try:
        yield
    except BadFile as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error


def check(records: Iterator[Record | Rejected], advance: Advance) -> None:
    """Reads everything, and keeps nothing of it.

    Raises:
        Failure: there is something that is no record.
    """
    rejected = 0
    with bad_files():
        for number, record in enumerate(records):
            if number % _SHOW_EACH == 0:
                advance(record.end.offset, "checking")
            if isinstance(record, Rejected):
                rejected += 1
                if rejected <= _REASONS_SHOWN:
                    output.note(f"  line {record.line}: {record.reason}")
    if rejected > _REASONS_SHOWN:
        output.note(f"  ... {rejected - _REASONS_SHOWN:,} more")
    if rejected:
        raise Failure(
            f"{rejected:,} rows are bad, nothing was written: mend them, or leave them out (--skip-bad)",
            Exit.BAD_INPUT,
        )
