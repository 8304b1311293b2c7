"""status of an AidbCluster: what people and tools wait for. Pure; written only when it says anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aidb_operator.api import conditions as api
from aidb_operator.api.cluster import ClusterStatus, Counts, ShardCounts
from aidb_operator.api.conditions import Type
from aidb_operator.apply import Applied
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import STORAGE_PORT, Component
from aidb_operator.observed import Observed
from aidb_operator.plan import wanted
from aidb_operator.plan.outcome import Condition, View
from aidb_operator.plan.planner import Plan

INVALID = "InvalidSpec"


def of(view: View, plan: Plan, applied: Applied) -> Raw:
    """After a turn."""
    shards = wanted.shards(view)
    ready = _ready_shards(view, shards)
    missing = _missing(view, shards, ready)
    found = [condition for step in plan.steps for condition in step.outcome.conditions]
    by_type = {one.type: one for one in (*_basic(view, plan, applied, missing), *found)}
    told: dict[str, Any] = {
        "shards": ShardCounts(wanted=view.spec.shards, current=len(shards), ready=len(ready)).model_dump(),
        "replicas": _counts(view, "replica", sum(wanted.replicas(view, shard) for shard in shards)),
        "routers": _counts(view, "router", view.spec.routers.replicas),
        "coordinators": _counts(view, "coordinator", view.spec.coordinators.replicas),
        "endpoint": f"{view.names.endpoint}.{view.namespace}.svc:{STORAGE_PORT}",
        **_topology(view.observed),
    }
    for step in plan.steps:
        told |= step.outcome.status
    return _finished(view.cluster, told, by_type, view.now)


def invalid(cluster: Raw, problems: str, now: datetime) -> Raw:
    """The spec cannot be used: nothing is changed. What runs by an earlier one is as ready as it was."""
    found = [
        Condition(Type.VALID, False, INVALID, problems),
        Condition(Type.PROGRESSING, False, INVALID, "nothing is changed before the spec is"),
    ]
    before = ClusterStatus.model_validate(cluster.get("status", {})).conditions
    if api.find(before, Type.READY) is None:
        found.append(Condition(Type.READY, False, INVALID, problems))
    return _kept(cluster, found, now)


def stopped(cluster: Raw, reason: str, message: str, now: datetime) -> Raw:
    """The operator cannot go on; what runs runs on."""
    return _kept(cluster, [Condition(Type.DEGRADED, True, reason, message)], now)


def paused(view: View) -> Raw:
    message = "nothing is changed while the annotation aidb.io/paused is there"
    return _kept(view.cluster, [Condition(Type.PAUSED, True, "Annotated", message)], view.now)


def differs(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return any(existing.get(name) != value for name, value in wanted.items())


def _basic(view: View, plan: Plan, applied: Applied, missing: Sequence[str]) -> list[Condition]:
    under_way = view.observed.coordination.under_way if view.observed.coordination else ()
    changes = [f"{one.kind} of {', '.join(map(str, one.shards)) or 'all'}: {one.phase}" for one in under_way]
    changes += [f"{kind.name} {name}: {why}" for (kind, name), why in sorted(plan.held.items(), key=str)]
    if not changes and missing:
        changes = list(missing)
    progressing = bool(changes) or applied.changed > 0
    made = [
        Condition(Type.VALID, True, "Valid"),
        Condition(Type.PAUSED, False, "NotPaused"),
        Condition(Type.READY, not missing, "Ready" if not missing else "NotReady", _sentence(missing)),
        Condition(
            Type.PROGRESSING,
            progressing,
            "Changing" if progressing else "Settled",
            _sentence(changes) if progressing else "",
        ),
    ]
    if applied.errors:
        made.append(Condition(Type.DEGRADED, True, "ReconcileFailed", _sentence(applied.errors)))
    elif view.observed.topology is not None and view.observed.coordination is None:
        made.append(Condition(Type.DEGRADED, True, "NoCoordinator", view.observed.silence))
    else:
        made.append(_degraded_shards(view.observed))
    return made


def _degraded_shards(observed: Observed) -> Condition:
    from aidb.v1 import cluster_pb2 as pb

    if observed.coordination is None:
        return Condition(Type.DEGRADED, False, "Starting")
    bad = [
        f"shard {shard.id}: {shard.reason or pb.ShardState.Name(shard.state)}"
        for shard in observed.coordination.status.shards
        if shard.state in (pb.SHARD_DEGRADED, pb.SHARD_STOPPED)
    ]
    return Condition(Type.DEGRADED, bool(bad), "ShardsDegraded" if bad else "Healthy", _sentence(bad))


def _missing(view: View, shards: Sequence[int], ready: Sequence[int]) -> list[str]:
    """Why it is not ready: in the order in which things have to come."""
    observed, spec, names = view.observed, view.spec, view.names
    if spec.hibernate:
        return ["the cluster hibernates"]
    missing = []
    if observed.coordination is None:
        missing.append(observed.silence or "no coordinator has answered")
    late = [shard for shard in shards if shard not in ready]
    if late:
        missing.append(f"the primaries of {len(late)} of {len(shards)} shards do not serve: {_some(late)}")
    for component, count in (("router", spec.routers.replicas), ("coordinator", spec.coordinators.replicas)):
        there = sum(pod.ready for pod in observed.pods_of(_component(component)))
        if there < min(1, count):
            missing.append(f"no {component} of {names.cluster} is ready")
    return missing


def _component(name: str) -> Component:
    return "router" if name == "router" else "coordinator"


def _ready_shards(view: View, shards: Sequence[int]) -> list[int]:
    """Those whose published primary's pod is ready, and which the coordinator knows to serve."""
    from aidb.v1 import cluster_pb2 as pb

    coordination = view.observed.coordination
    serving = (
        {one.id for one in coordination.status.shards if one.state in (pb.SHARD_RUNNING, pb.SHARD_DEGRADED)}
        if coordination
        else set()
    )
    published = {(pod.shard, pod.incarnation) for pod in view.observed.pods_of("primary") if pod.ready}
    places = wanted.places(view)
    return [shard for shard in shards if (shard, places[shard].published) in published and shard in serving]


def _counts(view: View, component: Component, count: int) -> Raw:
    ready = sum(pod.ready for pod in view.observed.pods_of(component))
    return Counts(wanted=count, ready=ready).model_dump()


def _topology(observed: Observed) -> Raw:
    leader = observed.leader
    told: Raw = {"coordinator": None if leader is None else leader.name}
    if observed.topology is not None:
        told |= {"clusterUid": observed.topology.cluster_uid, "topologyVersion": observed.topology.version}
    under_way = observed.coordination.under_way if observed.coordination else ()
    told["operation"] = f"{under_way[0].kind}: {under_way[0].phase}" if under_way else None
    return told


def _kept(cluster: Raw, found: Sequence[Condition], now: datetime) -> Raw:
    """As it was, with these conditions changed."""
    before = ClusterStatus.model_validate(cluster.get("status", {})).conditions
    kept = {
        one.type: Condition(
            one.type,
            None if one.status is api.Status.UNKNOWN else one.status is api.Status.TRUE,
            one.reason,
            one.message,
        )
        for one in before
    }
    return _finished(cluster, {}, kept | {one.type: one for one in found}, now)


def _finished(cluster: Raw, told: Raw, by_type: Mapping[str, Condition], now: datetime) -> Raw:
    before = ClusterStatus.model_validate(cluster.get("status", {})).conditions
    generation = cluster["metadata"].get("generation", 0)
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    made = [
        api.condition(one.type, one.status, one.reason, one.message, at, generation, before)
        for one in by_type.values()
    ]
    return {
        **told,
        "observedGeneration": generation,
        "phase": _phase(by_type),
        "conditions": api.dumped(made),
    }


def _phase(by_type: Mapping[str, Condition]) -> str:
    """The conditions in one word."""

    def holds(type: str) -> bool:
        return type in by_type and by_type[type].status is True

    if Type.VALID in by_type and by_type[Type.VALID].status is False:
        return "Invalid"
    for type, word in ((Type.PAUSED, "Paused"), (Type.HIBERNATED, "Hibernated")):
        if holds(type):
            return word
    if holds(Type.READY):
        return "Degraded" if holds(Type.DEGRADED) else "Changing" if holds(Type.PROGRESSING) else "Ready"
    return "Pending"


def _sentence(parts: Sequence[str]) -> str:
    return "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more" if len(parts) > 5 else "")


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
