"""The plan that leaves one slot alone on its shard: the only help where a single slot has too much. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aidb.slots import SLOT_COUNT
from aidb_coordinator import placement
from aidb_coordinator.placement import sums
from aidb_coordinator.rebalance import MOST_SLOTS, Plan, expected, grouped, positive
from aidb_coordinator.ring import Ring
from aidb_coordinator.topology import NOBODY, Topology


def isolated(
    topology: Topology, slot: int, figures: Sequence[int] | None, most_slots: int = MOST_SLOTS
) -> Plan:
    """The slot stays where it is, and all others of its shard go to the other shards, so that those are as
    even by `figures` (None: by slots) as that makes them; nothing else moves. Slots that move already stay in
    their moves.

    Raises ValueError when the slot has no owner, moves, or its shard is the only one.
    """
    if not 0 <= slot < SLOT_COUNT:
        raise ValueError(f"there is no slot {slot}: they are 0 to {SLOT_COUNT - 1}")
    owners, moving = expected(topology)
    home = owners[slot]
    if home == NOBODY:
        raise ValueError(f"slot {slot} has no owner")
    if slot in moving:
        raise ValueError(f"slot {slot} moves already: isolate it when it is there")
    others = {shard.id for shard in topology.shards} - {home}
    if not others:
        raise ValueError(f"shard {home} is the only one: add a shard for its other slots")
    weights: Sequence[int] = (1,) * SLOT_COUNT if figures is None else positive(figures)
    before = sums(owners, weights)
    rest = before.copy()
    rest[home] -= weights[slot]
    targets = placement.even_targets(rest, others)
    stays = {at for at, owner in enumerate(owners) if owner != home} | moving | {slot}
    found = placement.plan(owners, others, Ring(others), weights=weights, targets=targets, pinned=stays)
    after = sums(placement.apply(owners, found), weights)
    ids = sorted({home, *others})
    return Plan(
        tuple(grouped(found, most_slots)),
        {shard: before[shard] for shard in ids},
        {shard: after[shard] for shard in ids},
    )
