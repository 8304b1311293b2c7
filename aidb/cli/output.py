"""Data on stdout, everything else on stderr."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from aidb.cli.documents import compact, document, listed

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "as_bytes",
    "compact",
    "data",
    "document",
    "human_bytes",
    "json_bytes",
    "line",
    "listed",
    "note",
    "shown",
    "stderr",
    "table",
]


def data(content: bytes) -> None:
    """Bytes as they are; on a terminal a line end follows, so that the prompt starts on a line of its own."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    if sys.stdout.isatty() and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def line(text: str) -> None:
    """One line of data."""
    print(text)


def note(message: str) -> None:
    """For people."""
    print(message, file=sys.stderr)


def stderr() -> Console:
    """A console for progress and live tables; NO_COLOR is rich's own habit."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows aligned below their headings, nothing cut when stdout is no terminal."""
    cells = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def json_bytes(name: str, content: bytes) -> dict[str, str]:
    """``{name: text}``, or ``{name_base64: ...}`` for what is not UTF-8: the members of JSON Lines files."""
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode()}


def shown(content: bytes) -> str:
    """Text on one line: control characters and what is not UTF-8 are escaped."""
    text = content.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_bytes(argument: str) -> bytes:
    """A command line argument as the bytes that the shell passed."""
    return os.fsencode(argument)


def human_bytes(count: float) -> str:
    """``12.3 MiB``."""
    unit = ""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
