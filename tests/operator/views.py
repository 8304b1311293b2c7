"""Clusters as the operator sees them, for tests of what it plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aidb_operator import names
from aidb_operator.api.cluster import ClusterSpec
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw, kind_of
from aidb_operator.observed import Coordination, Node, Observed, Shard, Topology
from aidb_operator.plan.outcome import View

from aidb.v1 import cluster_pb2 as pb

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
IMAGE = "aidb-node:test"
UID = "11111111-2222-3333-4444-555555555555"


def cluster(spec: Mapping[str, Any] | None = None, name: str = "db", **metadata: Any) -> Raw:
    return {
        "apiVersion": kinds.CLUSTER.api_version,
        "kind": kinds.CLUSTER.name,
        "metadata": {"name": name, "namespace": "test", "uid": UID, "generation": 1, **metadata},
        "spec": dict(spec or {}),
    }


def view(
    spec: Mapping[str, Any] | None = None,
    objects: Iterable[Raw] = (),
    topology: Topology | None = None,
    coordination: Coordination | None = None,
    nodes: Mapping[str, str] | None = None,
    now: datetime = NOW,
    image: str = IMAGE,
) -> View:
    """`nodes`: their zones."""
    raw = cluster(spec)
    by_kind: dict[Kind, dict[str, Raw]] = {kinds.CLUSTER: {raw["metadata"]["name"]: raw}}
    for one in objects:
        by_kind.setdefault(kind_of(one), {})[one["metadata"]["name"]] = one
    observed = Observed(
        objects=by_kind,
        nodes={name: node(name, zone) for name, zone in (nodes or {}).items()},
        topology=topology,
        coordination=coordination,
    )
    return View(raw, ClusterSpec.model_validate(raw["spec"]), observed, now, image)


def node(name: str, zone: str = "", ready: bool = True, unschedulable: bool = False) -> Node:
    return Node.of(
        {
            "metadata": {"name": name, "labels": {names.ZONE: zone} if zone else {}},
            "spec": {"unschedulable": True} if unschedulable else {},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
        }
    )


def topology(*shards: Shard, uid: str = UID, version: int = 7) -> Topology:
    return Topology(uid, version, {shard.id: shard for shard in shards}, next_shard=len(shards))


def plain(count: int) -> Topology:
    return topology(*(Shard(number, published=1, epoch=1) for number in range(count)))


def coordination(
    shards: Iterable[int],
    operations: Iterable[pb.Operation] = (),
    state: pb.ShardState.ValueType = pb.SHARD_RUNNING,
) -> Coordination:
    status = pb.ClusterStatus(shards=[pb.ShardStatus(id=shard, state=state) for shard in shards])
    return Coordination(status, tuple(operations))


def pod(
    name: str,
    component: names.Component,
    shard: int | None = None,
    incarnation: int | None = None,
    *,
    ready: bool = True,
    node_name: str = "node-1",
    ip: str = "10.0.0.1",
    leader: bool = False,
) -> Raw:
    labels = names.labels("db", component, shard, incarnation)
    if leader:
        labels[names.LEADER] = "true"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "test", "uid": f"uid-{name}", "labels": labels},
        "spec": {"nodeName": node_name},
        "status": {
            "podIP": ip,
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }
