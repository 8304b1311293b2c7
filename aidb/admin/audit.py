"""`aidb-admin audit`: the audit log, of a local cluster or of any logs that have lines of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from heapq import nlargest
from pathlib import Path

from aidb.admin.show import moment
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.local.layout import Layout
from aidb.security.audit import FILE, Act, acts_in

STDIN = Path("-")


def audit(data: Path, files: Sequence[Path], since: float | None, limit: int, how: Output) -> int:
    """The newest ``limit`` acts of the last ``since`` seconds, oldest first. Raises Failure."""
    from_ms = 0 if since is None else int((time.time() - since) * 1000)
    recent = (act for act in _acts(files or _local(data)) if act.unix_ms >= from_ms)
    found = sorted(nlargest(limit, recent, key=_when), key=_when)
    if how is Output.JSON:
        output.document([asdict(act) for act in found])
        return int(Exit.OK)
    rows = [
        [
            moment(act.unix_ms),
            output.shown(act.who.encode()),
            act.program,
            act.act,
            output.shown(" ".join(f"{name}={value}" for name, value in act.asked.items()).encode()),
            output.shown(act.outcome.encode()),
        ]
        for act in found
    ]
    output.table(("TIME", "WHO", "PROGRAM", "ACT", "ASKED", "OUTCOME"), rows)
    return int(Exit.OK)


def _when(act: Act) -> int:
    return act.unix_ms


def _acts(files: Sequence[Path]) -> Iterator[Act]:
    for file in files:
        if file == STDIN:
            yield from acts_in(sys.stdin)
            continue
        try:
            with file.open(errors="replace") as lines:
                yield from acts_in(lines)
        except OSError as error:
            raise Failure(f"cannot read {file}: {error.strerror}", Exit.BAD_INPUT) from error


def _local(data: Path) -> list[Path]:
    """Nodes write theirs into their logs, the others into files of their own."""
    layout = Layout.at(data)
    if not layout.description.exists():
        raise Failure(f"no cluster in {data}: name log files, or - for stdin", Exit.BAD_INPUT)
    found = [layout.directory("coordinator") / FILE, layout.security / f"{FILE}.1", layout.security / FILE]
    logs = [*layout.logs.glob("*.log.1"), *layout.logs.glob("*.log")]
    return [path for path in (*found, *sorted(logs)) if path.exists()]
