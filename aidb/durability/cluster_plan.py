"""A restore of a whole cluster: who owned what then, and how far each shard has to go (D9)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aidb.durability.lineage import END
from aidb.durability.restore_plan import Owned, Target
from aidb.v1 import cluster_pb2 as pb


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """``epoch``: the newest that was ever published or taken, as far as is known."""

    shard: int
    target: Target
    epoch: int


def as_of(then: pb.Topology, later: pb.Topology | None, clock_ms: int) -> pb.Topology:
    """``then``, the newest version in the archive of that time or before, with the moves that were committed
    since, by that time. The archive may lack versions: a coordinator that dies between a commit and the next
    object leaves none of it, and soon the source deletes what is the target's. ``later``, the next version
    that there is, names the moves that were committed of late.
    """
    known = {move.id for move in then.moves if move.committed_at_ms}
    missed = [
        move
        for move in (() if later is None else later.moves)
        if 0 < move.committed_at_ms <= clock_ms and move.id not in known
    ]
    if not missed:
        return then
    missed.sort(key=lambda move: move.committed_at_ms)
    owners = bytearray(then.slot_owners)
    epochs = {slot: (one.epoch, one.since_lsn) for one in then.slot_epochs for slot in _slots(one)}
    for move in missed:
        for slot in (slot for span in move.slots for slot in _slots(span)):
            owners[2 * slot : 2 * slot + 2] = move.target.to_bytes(2, "big")
            epochs[slot] = epochs.get(slot, (0, 0))[0] + 1, move.since_lsn
    found = pb.Topology()
    found.CopyFrom(then)
    found.slot_owners = bytes(owners)
    del found.slot_epochs[:]
    for slot, (epoch, since_lsn) in sorted(epochs.items()):
        found.slot_epochs.add(first=slot, last=slot, epoch=epoch, since_lsn=since_lsn)
    return found


def _slots(span: pb.SlotEpoch | pb.SlotSpanRef) -> range:
    return range(span.first, span.last + 1)


def cluster_plan(then: pb.Topology, newest: list[pb.Topology], clock_ms: int = END) -> list[ShardPlan]:
    """``then`` is the topology that held at ``clock_ms``; ``newest``: what is known of later ones. A shard
    goes on through the LSNs at which it acquired the slots that it owns in ``then``, also where these are
    later.
    """
    owned = _owned(then)
    acquired = {
        shard.id: max((one.since_lsn for one in owned.get(shard.id, ())), default=0) for shard in then.shards
    }
    published = dict.fromkeys(acquired, 0)
    for topology in (then, *newest):
        for shard in topology.shards:
            taken = max(shard.epoch, shard.successor.epoch)
            published[shard.id] = max(published.get(shard.id, 0), taken)
    return [
        ShardPlan(
            shard.id,
            Target()
            if clock_ms == END
            else Target(
                clock_ms=clock_ms, least_lsn=acquired[shard.id], owned=tuple(owned.get(shard.id, ()))
            ),
            published[shard.id],
        )
        for shard in then.shards
    ]


def _owned(topology: pb.Topology) -> dict[int, list[Owned]]:
    """By shard, as few as possible."""
    since = {slot: one.since_lsn for one in topology.slot_epochs for slot in _slots(one)}
    found: dict[int, list[Owned]] = {}
    for slot in range(len(topology.slot_owners) // 2):
        owner = int.from_bytes(topology.slot_owners[2 * slot : 2 * slot + 2], "big")
        spans = found.setdefault(owner, [])
        lsn = since.get(slot, 0)
        if spans and (spans[-1].last, spans[-1].since_lsn) == (slot - 1, lsn):
            spans[-1] = replace(spans[-1], last=slot)
        else:
            spans.append(Owned(slot, slot, lsn))
    return found
