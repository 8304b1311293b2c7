"""A restore of a whole cluster: who owned what then, and how far each shard has to go (D9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aidb.durability.lineage import END
from aidb.durability.restore_plan import Target
from aidb.v1 import cluster_pb2 as pb


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """``epoch``: the newest that was ever published or taken, as far as is known."""

    shard: int
    target: Target
    epoch: int


def cluster_plan(then: pb.Topology, newest: list[pb.Topology], clock_ms: int = END) -> list[ShardPlan]:
    """``then`` is the topology that held at ``clock_ms``; ``newest``: what is known of later ones. A shard
    goes on through the LSNs at which it acquired the slots that it owns in ``then``, also where these are
    later.
    """
    acquired = dict.fromkeys((shard.id for shard in then.shards), 0)
    for one in then.slot_epochs:
        for owner in _owners(then, one.first, one.last):
            acquired[owner] = max(acquired.get(owner, 0), one.since_lsn)
    published = dict.fromkeys(acquired, 0)
    for topology in (then, *newest):
        for shard in topology.shards:
            taken = max(shard.epoch, shard.successor.epoch)
            published[shard.id] = max(published.get(shard.id, 0), taken)
    return [
        ShardPlan(
            shard.id,
            Target() if clock_ms == END else Target(clock_ms=clock_ms, least_lsn=acquired[shard.id]),
            published[shard.id],
        )
        for shard in then.shards
    ]


def _owners(topology: pb.Topology, first: int, last: int) -> Iterator[int]:
    for slot in range(first, last + 1):
        yield int.from_bytes(topology.slot_owners[2 * slot : 2 * slot + 2], "big")
