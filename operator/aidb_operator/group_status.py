"""status of the ShardGroups. Pure; figures that always move are written when they have moved by a tenth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.api import conditions as api
from aidb_operator.api.conditions import Type
from aidb_operator.api.shard_group import ShardGroupStatus
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.observed import Shard
from aidb_operator.plan import wanted
from aidb_operator.plan.outcome import View
from aidb_operator.plan.shard_groups import selector

MOVING = ("keys", "bytes")
TENTH = 0.1


def changes(view: View) -> Iterator[tuple[str, Raw]]:
    """The ShardGroups whose status says anything else now, and what."""
    coordination = view.observed.coordination
    known = {} if coordination is None else {one.id: one for one in coordination.status.shards}
    for shard in wanted.places(view).values():
        name = view.names.shard(shard.id)
        group = view.observed.get(kinds.SHARD_GROUP, name)
        if group is None:
            continue
        told = of(view, shard, group, known.get(shard.id))
        if differs(group.get("status", {}), told):
            yield name, told


def of(view: View, shard: Shard, group: Raw, serving: pb.ShardStatus | None) -> Raw:
    observed = view.observed
    replicas = observed.pods_of("replica", shard.id)
    primaries = [pod for pod in observed.pods_of("primary", shard.id) if pod.incarnation == shard.published]
    primary = primaries[0] if primaries else None
    node = None if primary is None else observed.nodes.get(primary.node)
    told: Raw = {
        "replicas": sum(not pod.deleted for pod in replicas),
        "readyReplicas": sum(pod.ready for pod in replicas),
        "selector": selector(view, shard.id),
        "incarnation": shard.published,
        "epoch": shard.epoch,
        "primary": None if primary is None else primary.name,
        "node": None if primary is None else primary.node or None,
        "zone": None if node is None else node.zone or None,
        "scaledBy": wanted.scaler(view, shard.id),
        "observedGeneration": group["metadata"].get("generation", 0),
    }
    if serving is not None:
        told |= {"slots": serving.slots, "keys": serving.keys, "bytes": serving.bytes}
    told["conditions"] = _conditions(view, group, primary is not None and primary.ready, serving)
    return told


def differs(existing: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    for name, value in told.items():
        before = existing.get(name)
        if name in MOVING and isinstance(before, int) and before:
            if abs(value - before) > TENTH * before:
                return True
        elif before != value and (before or value):
            return True
    return False


def _conditions(view: View, group: Raw, ready: bool, serving: pb.ShardStatus | None) -> list[Raw]:
    before = ShardGroupStatus.model_validate(group.get("status", {})).conditions
    at = view.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    generation = group["metadata"].get("generation", 0)
    state = pb.SHARD_STATE_UNKNOWN if serving is None else serving.state
    reason = "" if serving is None else serving.reason
    serves = ready and state in (pb.SHARD_RUNNING, pb.SHARD_DEGRADED)
    degraded = None if serving is None else state in (pb.SHARD_DEGRADED, pb.SHARD_STOPPED)
    word = "Serving" if serves else "PodNotReady" if not ready else "NotServing"
    made = [
        api.condition(Type.READY, serves, word, reason if not serves else "", at, generation, before),
        api.condition(
            Type.DEGRADED,
            degraded,
            {None: "Unknown", True: "Degraded", False: "Healthy"}[degraded],
            reason if degraded else "",
            at,
            generation,
            before,
        ),
    ]
    return api.dumped(made)
