"""`isolate`: leaves a hot slot alone on its shard; the other slots go to the other shards, by their load."""

from __future__ import annotations

from aidb.admin import rebalance
from aidb.admin.moves import carry_out
from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit
from aidb.cli.parameters import Output
from aidb.slots import slot_of
from aidb.v1 import cluster_pb2 as pb

# Of one move: each of a few costs its fence, however little it brings.
_MOST_SLOTS = 1_024


def isolate(
    address: str | None,
    slot: int | None,
    key: str | None,
    how: Output,
    *,
    dry_run: bool,
    wait: bool,
    timeout: float,
) -> int:
    """The slot, or that of ``key``. Raises Failure."""
    coordinator = find_address(address)
    if slot is None:
        slot = slot_of(output.as_bytes(key or ""))
    request = pb.PlanMovesRequest(isolate=slot, most_slots=_MOST_SLOTS)
    with coordination(coordinator) as stub:
        plan: pb.PlanMovesResponse = stub.PlanMoves(request, timeout=min(timeout, 60.0))
    if dry_run:
        if how is Output.JSON:
            output.document(rebalance.document(plan))
        else:
            rebalance.show(plan, "load")
        return int(Exit.OK)
    moves = [
        ([(span.first, span.last) for span in move.slots], move.source, move.target) for move in plan.moves
    ]
    return carry_out(coordinator, moves, how, wait=wait, timeout=timeout)
