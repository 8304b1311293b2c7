"""Plans of slot moves, as they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb

# What is evened, as a heading.
_UNITS = {"slots": "SLOTS", "bytes": "BYTES", "load": "OPERATIONS/S"}


def plan(address: str | None, without: Sequence[int], by: str, how: Output, timeout: float) -> int:
    """Prints it. Raises Failure."""
    with coordination(find_address(address)) as stub:
        request = pb.PlanMovesRequest(without=without, by=by)
        found: pb.PlanMovesResponse = stub.PlanMoves(request, timeout=timeout)
    if how is Output.JSON:
        output.document(document(found))
    else:
        show(found, by)
    return int(Exit.OK)


def show(found: pb.PlanMovesResponse, by: str = "slots") -> None:
    """For people."""
    counts = [(f"shard {one.shard}", f"{one.before:,}", f"{one.after:,}") for one in found.shards]
    output.table(("", _UNITS.get(by, "SLOTS"), "AFTER"), counts)
    if not found.moves:
        output.line("nothing has to move")
        return
    output.line("")
    rows = [(str(one.source), str(one.target), f"{_count(one):,}", _text(one)) for one in found.moves]
    output.table(("FROM", "TO", "COUNT", "SLOTS"), rows)


def document(found: pb.PlanMovesResponse) -> dict[str, Any]:
    """What ``-o json`` prints."""
    return {
        "topology_version": found.topology_version,
        "moves": [{"from": one.source, "to": one.target, "slots": _text(one)} for one in found.moves],
        "shards": [{"shard": one.shard, "before": one.before, "after": one.after} for one in found.shards],
    }


def _count(move: pb.PlannedMove) -> int:
    return sum(span.last - span.first + 1 for span in move.slots)


def _text(move: pb.PlannedMove) -> str:
    """``0-99,200``."""
    spans = ((span.first, span.last) for span in move.slots)
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
