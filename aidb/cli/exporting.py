"""`aidb export`: all records to a file that `aidb import` reads back."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aidb.cli import output
from aidb.cli.connection import connected
from aidb.cli.exits import Exit, Failure
from aidb.cli.formats import bad_files, opened
from aidb.cli.progress import progress, rate
from aidb.formats import Columns, NotExpressible

_SHOW_EACH = 1000
_REASONS_SHOWN = 5


def export_file(
    file: str,
    format: str,
    key: str | None,
    columns: Columns,
    prefix: str,
    ordered: bool,
    address: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Write the records. Raises Failure: REJECTED when some do not fit the format and all others are
    written.
    """
    encode = opened(format, key, columns).encode
    started = time.monotonic()
    records = size = rejected = 0
    reasons: list[str] = []
    with (
        bad_files(),
        _open(file) as stream,
        connected(address, timeout) as client,
        progress("exporting", None) as advance,
        client.scan(prefix=output.as_bytes(prefix), ordered=ordered) as entries,
    ):
        for entry in entries:
            expires = 0 if entry.expires_at is None else round(entry.expires_at * 1000)
            try:
                encoded = encode(entry.key, entry.value, expires)
            except NotExpressible as error:
                rejected += 1
                if len(reasons) < _REASONS_SHOWN:
                    reasons.append(f"  {output.shown(entry.key)}: {error}")
                continue
            stream.write(encoded)
            records += 1
            size += len(encoded)
            if records % _SHOW_EACH == 0:
                advance(records, rate(records, time.monotonic() - started, "records"))
    seconds = time.monotonic() - started
    if as_json and file != "-":
        told = {"file": file, "format": format, "records": records, "bytes": size, "rejected": rejected}
        output.document({**told, "seconds": round(seconds, 3)})
    else:
        output.note(
            f"{rate(records, seconds, 'records')}, {output.human_bytes(size)} in {seconds:.1f} s to {file}"
        )
    if rejected:
        output.note("\n".join(reasons))
        raise Failure(f"{rejected:,} records are no {format}: they were left out", Exit.REJECTED)


@contextmanager
def _open(file: str) -> Iterator[BinaryIO]:
    """The file appears under its name only when it is whole."""
    if file == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    partial = path.with_name(path.name + ".partial")
    try:
        stream = partial.open("wb")
    except OSError as error:
        raise Failure(f"cannot write {partial}: {error.strerror}", Exit.BAD_INPUT) from error
    try:
        with stream:
            yield stream
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
