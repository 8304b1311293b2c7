"""Members whose place is gone for good: pods of Deployments have a new name each time. Pure.

A replica that keeps the log's tail is a member until its primary has let go of it, which it does when the
archive has what it holds (D5). Primaries stay: what becomes of them is decided by their shard's successor.
"""

from __future__ import annotations

from collections.abc import Collection

from aidb_coordinator.topology import Topology


def may_be_gone(topology: Topology, away: Collection[str]) -> frozenset[str]:
    """Replicas and routers among the members that are `away`, if nobody needs them."""
    found = {router.name for router in topology.routers}
    for shard in topology.shards:
        found.update(replica.name for replica in shard.replicas if replica.name not in shard.tail_set)
    return frozenset(found & set(away))


def gone(topology: Topology, away: Collection[str], pods: Collection[str]) -> list[str]:
    """Those whose pod, of the same name, is not there any more."""
    return sorted(may_be_gone(topology, away) - set(pods))
