"""The next incarnation of a shard's primary, as transitions of the document (D3, D6).

    want -> take (as often as takers die) -> published by a registration, see `registration`
    want -> withdraw, as long as no epoch was taken

What is wanted is in the document, so that a restarted coordinator, and whoever provisions, go on with it.
Invariant: `take` raises the epoch above every one that was published or taken, so of two takers the later
one wins, and the older one finds that it was overtaken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from aidb_coordinator.topology import (
    Shard,
    Successor,
    Topology,
    TopologyError,
    existing,
    interrupt_moves,
    with_shard,
)

Outcome = TypeVar("Outcome")
Transition = Callable[[Topology], tuple[Topology, Outcome]]


def want(topology: Topology, shard_id: int, *, planned: bool, reason: str) -> tuple[Topology, Successor]:
    """Wants one; one that is wanted already stays, but a hand-over whose primary is gone becomes a takeover.

    Raises TopologyError when there is nothing to succeed, or another shard is being handed over.
    """
    shard = existing(topology, shard_id)
    if shard.fresh:
        raise TopologyError(f"shard {shard_id} never had a primary: start one with an empty directory")
    if shard.recovery is not None:
        raise TopologyError(f"shard {shard_id} is being restored by incarnation {shard.incarnation}")
    if shard.fenced:
        raise TopologyError(f"shard {shard_id} is fenced: unfence it first")
    held = shard.successor
    if held is not None and (held.planned == planned or not held.planned):
        return topology, held
    if planned and (other := _handed_over(topology)) is not None:
        raise TopologyError(f"shard {other.id} is being handed over: one at a time")
    wanted = Successor(shard.incarnation + 1, planned, reason)
    if held is not None:
        wanted = replace(held, planned=False, reason=reason)
    return with_shard(topology, replace(shard, successor=wanted)), wanted


def withdraw(topology: Topology, shard_id: int) -> Topology:
    """Wants none any more. Raises TopologyError when it has taken an epoch: the old disk serves no more."""
    shard = existing(topology, shard_id)
    if shard.successor is None:
        return topology
    if shard.successor.epoch:
        raise TopologyError(
            f"incarnation {shard.successor.incarnation} of shard {shard_id} has taken epoch "
            f"{shard.successor.epoch}: it can only be completed"
        )
    return with_shard(topology, replace(shard, successor=None))


def take(topology: Topology, shard_id: int, *, incarnation: int, disk_id: str) -> tuple[Topology, Successor]:
    """Takes the next epoch for that disk. Raises TopologyError when its incarnation is not wanted."""
    shard = existing(topology, shard_id)
    successor = shard.successor
    if successor is None or successor.incarnation != incarnation:
        raise TopologyError(not_wanted(shard, incarnation))
    taken = replace(successor, epoch=shard.newest_epoch + 1, disk_id=disk_id)
    return with_shard(interrupt_moves(topology, shard_id), replace(shard, successor=taken)), taken


def not_wanted(shard: Shard, incarnation: int) -> str:
    if incarnation < shard.incarnation:
        return (
            f"incarnation {shard.incarnation} serves shard {shard.id} (epoch {shard.epoch}), this is "
            f"{incarnation}: its disk is kept aside; aidb-admin salvage shows what only it holds"
        )
    wanted = "none" if shard.successor is None else f"only {shard.successor.incarnation}"
    return (
        f"shard {shard.id} is served by incarnation {shard.incarnation}, and {wanted} is wanted beside it, "
        f"not {incarnation}: ask for one with aidb-admin take-over or hand-over"
    )


def _handed_over(topology: Topology) -> Shard | None:
    planned = (shard for shard in topology.shards if shard.successor is not None and shard.successor.planned)
    return next(planned, None)
