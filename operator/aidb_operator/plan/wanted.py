"""Which shards, incarnations and replicas there are to be: what the topology says, and before there is one,
what the spec says.
"""

from __future__ import annotations

from collections.abc import Mapping

from aidb_operator.kubernetes import kinds
from aidb_operator.observed import Shard
from aidb_operator.plan.outcome import View


def places(view: View) -> Mapping[int, Shard]:
    """By shard, ascending. A cluster that begins with another's data gets its shards from that one: until its
    coordinator has made a topology of it, there are none.
    """
    topology = view.observed.topology
    if topology is not None:
        return {shard: topology.shards[shard] for shard in sorted(topology.shards)}
    if view.spec.bootstrap is not None and view.spec.bootstrap.recovery is not None:
        return {}
    return {shard: Shard(shard, published=1) for shard in range(view.spec.shards)}


def shards(view: View) -> list[int]:
    return list(places(view))


def cluster_uid(view: View) -> str:
    """Of the data: that of the topology, if there is one, else the object's own."""
    topology = view.observed.topology
    uid: str = view.cluster["metadata"]["uid"] if topology is None else topology.cluster_uid
    return uid


def scaler(view: View, shard: int) -> str:
    """Who decides the number of a shard's replicas: `cluster`, `autoscaler`, or the name of an HPA."""
    group = view.names.shard(shard)
    for raw in view.observed.all(kinds.AUTOSCALER):
        target = raw.get("spec", {}).get("scaleTargetRef", {})
        if target.get("kind") == kinds.SHARD_GROUP.name and target.get("name") == group:
            name: str = raw["metadata"]["name"]
            return name
    return "autoscaler" if view.spec.autoscaling.replicas.enabled else "cluster"


def replicas(view: View, shard: int) -> int:
    """Of a shard: what its ShardGroup says where others decide, else the spec."""
    count: int = view.spec.replicas
    if scaler(view, shard) == "cluster":
        return count
    group = view.observed.get(kinds.SHARD_GROUP, view.names.shard(shard))
    return count if group is None else int(group.get("spec", {}).get("replicas", count))
