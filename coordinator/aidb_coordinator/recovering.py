"""The document of a cluster whose shards have to come from the object store (D9). Pure.

    recovering -> restored by an empty directory of that incarnation -> published by its registration

The epoch of such a shard is above every one that was published, taken or claimed, so whoever served it before
does not any more, and everything that it may still archive is sealed before the restore looks. The restored
disk is in that epoch, and is granted the next one, as after a restart in place (D10).
Rejected: to carry a restore out on the volumes that are there. It needs the cluster stopped, programs that
reach the volumes, and room for both; what was there before would be where the next attempt writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aidb_coordinator.slot_epochs import gone_back
from aidb_coordinator.topology import (
    Recovery,
    Shard,
    Topology,
    TopologyError,
    existing,
    interrupt_moves,
    next_version,
    with_shard,
)


def new_cluster(
    newest: Topology, then: Topology, epochs: Mapping[int, int], recovery: Recovery, cluster_uid: str
) -> Topology:
    """A new cluster with the shards and slots of ``then``, out of the objects of another one, of which
    ``newest`` is the last that is known. ``epochs``: the newest of each shard that was ever used; 0 = none.
    """
    shards = []
    for one in then.shards:
        known = newest.shard(one.id) or one
        empty = Shard(one.id, least_lsn=known.least_lsn)
        if epochs[one.id]:
            epoch = epochs[one.id] + 1
            empty = replace(empty, epoch=epoch, cuts=known.cuts, recovery=recovery)
        shards.append(empty)
    return replace(
        newest,
        cluster_uid=cluster_uid,
        version=max(newest.version, then.version) + 1,
        term=0,
        feature_level=max(newest.feature_level, then.feature_level),
        slot_owners=then.slot_owners,
        slot_epochs=tuple(gone_back(newest, then)),
        shards=tuple(shards),
        routers=(),
        moves=(),
        next_shard=max(newest.free_id, then.free_id),
    )


def whole_cluster(known: Topology, then: Topology, epochs: Mapping[int, int], recovery: Recovery) -> Topology:
    """The cluster itself goes back to ``then``: the next version, with the members that are no primaries."""
    shards = []
    for one in then.shards:
        now = known.shard(one.id)
        if now is None:
            # It was let go since: no incarnation of it had a higher number than its epochs.
            now = replace(one, incarnation=max(one.incarnation, epochs[one.id]), replicas=())
        shards.append(_recovering(now, epochs[one.id], recovery) if epochs[one.id] else now)
    return next_version(
        replace(
            known,
            feature_level=max(known.feature_level, then.feature_level),
            slot_owners=then.slot_owners,
            slot_epochs=tuple(gone_back(known, then)),
            shards=tuple(shards),
            moves=(),
            next_shard=max(known.free_id, then.free_id),
        )
    )


def one_shard(topology: Topology, shard_id: int, epoch: int, recovery: Recovery) -> Topology:
    """Everything else stays as it is. Raises TopologyError when there is nothing to restore, or the shard
    acquired slots that it has after the LSN that it is to go back to.
    """
    shard = existing(topology, shard_id)
    if not epoch:
        raise TopologyError(f"shard {shard_id} never had a primary")
    acquired = max(
        (
            one.since_lsn
            for one in topology.slot_epochs
            if any(topology.owner(slot) == shard_id for slot in range(one.span.first, one.span.last + 1))
        ),
        default=0,
    )
    if 0 < recovery.lsn < acquired:
        raise TopologyError(
            f"shard {shard_id} acquired slots at lsn {acquired}: at {recovery.lsn} it did not have them"
        )
    return with_shard(interrupt_moves(topology, shard_id), _recovering(shard, epoch, recovery))


def waiting(topology: Topology, restore: str) -> tuple[int, ...]:
    """Shards of that restore that are not in place yet."""
    return tuple(
        shard.id for shard in topology.shards if shard.recovery is not None and shard.recovery.id == restore
    )


def of_restore(topology: Topology, restore: str) -> tuple[int, ...]:
    """Its shards, in place or not; none: it was never asked for, or another one came later."""
    placed = {shard.id for shard in topology.shards if shard.restored_by == restore}
    return tuple(sorted(placed | set(waiting(topology, restore))))


def pending(topology: Topology) -> bool:
    return any(shard.recovery is not None for shard in topology.shards)


def _recovering(shard: Shard, epoch: int, recovery: Recovery) -> Shard:
    return replace(
        shard,
        epoch=max(epoch, shard.newest_epoch) + 1,
        incarnation=_next_incarnation(shard),
        disk_id="",
        primary=None,
        tail_set=(),
        successor=None,
        recovery=recovery,
        restored_by="",
    )


def _next_incarnation(shard: Shard) -> int:
    """A directory that a successor began is not empty."""
    used: Iterable[int] = (shard.incarnation, 0 if shard.successor is None else shard.successor.incarnation)
    return max(used) + 1
