"""The plan of an operation: which slots move, in how large moves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aidb_coordinator import rebalance
from aidb_coordinator.rebalance import MOST_SLOTS, Plan
from aidb_coordinator.scaling.operation import Kind, Operation
from aidb_coordinator.topology import Topology

# A move of little data may have more slots: each costs its fence and its drain, however little it moves.
MOVE_BYTES = 64 << 20
MOST_SLOTS_OF_LITTLE = 2_048


def planned(
    operation: Operation, topology: Topology, sizes: Mapping[int, int], figures: Sequence[int] | None = None
) -> Plan:
    """The moves after which the shards that stay have the slots. `sizes`: bytes of each shard. `figures`: of
    each slot, what a rebalance evens; None: slots.
    """
    leave = operation.shards if operation.kind is Kind.REMOVE_SHARD else ()
    stay = {shard.id for shard in topology.shards} - set(leave)
    return rebalance.moves(topology, stay, figures=figures, most_slots=slots_of_a_move(topology, sizes))


def slots_of_a_move(topology: Topology, sizes: Mapping[int, int]) -> int:
    """So many that a move has about `MOVE_BYTES` at most, by what the fullest shard has a slot."""
    counts = topology.slot_counts
    largest = max((sizes.get(shard, 0) // count for shard, count in counts.items() if count), default=0)
    return max(MOST_SLOTS, min(MOST_SLOTS_OF_LITTLE, MOVE_BYTES // max(1, largest)))
