"""Progress of long work on stderr: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aidb.cli import output

# done so far, and text that goes with it
Advance = Callable[[int, str], None]


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """Gives the function to call with what is done of ``total`` (None = unknown)."""
    if not sys.stderr.isatty():
        yield lambda _done, _text: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.stderr(), transient=True) as bar:
        task = bar.add_task(what, total=total, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)


def rate(count: int, seconds: float, unit: str) -> str:
    """``12,345 keys (6,789/s)``."""
    return f"{count:,} {unit} ({count / seconds:,.0f}/s)" if seconds > 0 else f"{count:,} {unit}"
