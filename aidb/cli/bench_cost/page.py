"""Keeps the newest figures on a page, between two marks."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aidb.cli.exits import Exit, Failure

if TYPE_CHECKING:
    from aidb.cli.bench_cost.prices import Prices, Scale
    from aidb.cli.bench_cost.run import Load

_BEGIN, _END = "<!-- bench-cost: begin -->", "<!-- bench-cost: end -->"


def keep(
    page: Path,
    load: Load,
    prices: Prices,
    scale: Scale,
    verdicts: list[str],
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]],
) -> None:
    """Raises Failure when the page has no place for them."""
    text = page.read_text()
    if _BEGIN not in text or _END not in text:
        raise Failure(f"{page} lacks the lines {_BEGIN} and {_END}", Exit.BAD_INPUT)
    before, after = text.partition(_BEGIN)[0], text.partition(_END)[2]
    lines = [
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.machine()}; {_named(asdict(load))}.",
        f"Priced: {_named(asdict(scale))}, at {_named(asdict(prices))}.",
        "",
        *(f"- {verdict}" for verdict in verdicts),
    ]
    for headings, rows in tables:
        lines += ["", _row(heading.lower() for heading in headings), "|" + "---|" * len(headings)]
        lines += [_row(row) for row in rows]
    page.write_text("\n".join([before + _BEGIN, *lines, _END]) + after)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _named(values: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
