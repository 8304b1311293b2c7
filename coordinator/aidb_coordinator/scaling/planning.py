"""The plan of an operation: which slots move, in how large moves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aidb_coordinator import rebalance
from aidb_coordinator.rebalance import MOST_SLOTS, Plan
from aidb_coordinator.scaling.operation import Kind, Operation
from aidb_coordinator.topology import Topology, unpack_owners

# A move of little data may have more slots: each costs its fence and its drain, however little it moves.
MOVE_BYTES = 64 << 20
MOST_SLOTS_OF_LITTLE = 2_048


def planned(
    operation: Operation,
    topology: Topology,
    sizes: Mapping[int, int],
    figures: Sequence[int] | None = None,
    free: Mapping[int, int] | None = None,
) -> Plan:
    """The moves after which the shards that stay have the slots. `sizes`: bytes of each shard. `figures`: of
    each slot, what is evened; None: slots. `free`: bytes for which the shards that stay have room; then the
    figures are bytes, and only what leaves moves.
    """
    stay = staying(operation, topology)
    most_slots = slots_of_a_move(topology, sizes)
    return rebalance.moves(topology, stay, figures=figures, free=free, most_slots=most_slots)


def staying(operation: Operation, topology: Topology) -> set[int]:
    """The shards that are to have the slots."""
    leave = operation.shards if operation.kind is Kind.REMOVE_SHARD else ()
    return {shard.id for shard in topology.shards} - set(leave)


def averages(topology: Topology, sizes: Mapping[int, int]) -> list[int]:
    """The bytes of each slot, where nobody has measured them: those of its shard, divided by its slots."""
    counts = topology.slot_counts
    each = {shard: sizes.get(shard, 0) // max(1, count) for shard, count in counts.items()}
    return [each.get(owner, 0) for owner in unpack_owners(topology.slot_owners)]


def slots_of_a_move(topology: Topology, sizes: Mapping[int, int]) -> int:
    """So many that a move has about `MOVE_BYTES` at most, by what the fullest shard has a slot."""
    counts = topology.slot_counts
    largest = max((sizes.get(shard, 0) // count for shard, count in counts.items() if count), default=0)
    return max(MOST_SLOTS, min(MOST_SLOTS_OF_LITTLE, MOVE_BYTES // max(1, largest)))
