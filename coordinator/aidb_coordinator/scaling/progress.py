"""How far an operation is, as seen from the table and from what the targets of its moves say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aidb_coordinator.moves import live
from aidb_coordinator.scaling.operation import Operation, Phase
from aidb_coordinator.scaling.steps import owners_of
from aidb_coordinator.topology import Topology


@dataclass(frozen=True, slots=True)
class OperationProgress:
    """`bytes_left` is an estimate: what the sources have a slot, on average, times the slots left."""

    moves: int = 0
    moves_done: int = 0
    moves_under_way: int = 0
    slots: int = 0
    slots_done: int = 0
    bytes_left: int = 0
    bytes_per_second: int = 0


def progress_of(
    operation: Operation, topology: Topology, sizes: Mapping[int, int], rates: Mapping[str, int]
) -> OperationProgress:
    """`sizes`: bytes of each shard; `rates`: bytes a second of each move."""
    done = [move for move in operation.plan if owners_of(move, topology) == {move.target}]
    left = [move for move in operation.plan if move not in done]
    mine = [move.id for move in live(topology) if operation.owns_move(move.id)]
    moved = operation.moved + sum(move.slot_count for move in done)
    return OperationProgress(
        moves=len(operation.plan),
        moves_done=len(done),
        moves_under_way=len(mine),
        slots=operation.moved + sum(move.slot_count for move in operation.plan),
        slots_done=moved,
        bytes_left=sum(_bytes(move.source, move.slot_count, topology, sizes) for move in left),
        bytes_per_second=sum(rates.get(move_id, 0) for move_id in mine),
    )


def _bytes(shard: int, slots: int, topology: Topology, sizes: Mapping[int, int]) -> int:
    return sizes.get(shard, 0) * slots // max(1, topology.slot_counts.get(shard, 0))


def eta_ms(operation: Operation, progress: OperationProgress, now_ms: int) -> int:
    """By the slots a second since the moving began; 0: nobody can tell. A phase that began before a pause, or
    before the coordinator was away, counts that time as well.
    """
    took = now_ms - operation.since_ms
    done = progress.slots_done - operation.moved
    if operation.phase is not Phase.MOVING or done <= 0 or took <= 0:
        return 0
    return took * (progress.slots - progress.slots_done) // done
