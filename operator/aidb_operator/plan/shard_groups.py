"""A ShardGroup for each shard of the topology: what is told of it, and the number that its replicas follow.

The number belongs to the cluster's spec, or to the autoscaler, or to a HorizontalPodAutoscaler: it is never
part of what is applied, but set through the scale subresource by whoever it belongs to.
"""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.api.conditions import Type
from aidb_operator.kubernetes import kinds
from aidb_operator.plan import wanted
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Condition, Desired, Outcome, View


def plan(view: View) -> Outcome:
    places = wanted.places(view)
    groups = [_group(view, shard) for shard in places]
    return Outcome(actions=groups, conditions=[_who_scales(view)])


def _group(view: View, shard: int) -> Desired:
    name = view.names.shard(shard)
    raw = made(view, kinds.SHARD_GROUP, name, shard=shard, spec={"cluster": view.name, "shard": shard})
    owned = wanted.scaler(view, shard) == "cluster"
    first = view.observed.get(kinds.SHARD_GROUP, name) is None
    return Desired(raw, replicas=view.spec.replicas if owned or first else None)


def selector(view: View, shard: int) -> str:
    """Of the replicas' pods, as a HorizontalPodAutoscaler reads it."""
    return ",".join(f"{name}={value}" for name, value in names.selector(view.name, "replica", shard).items())


def _who_scales(view: View) -> Condition:
    scalers = {shard: wanted.scaler(view, shard) for shard in wanted.shards(view)}
    foreign = {shard: name for shard, name in scalers.items() if name not in ("cluster", "autoscaler")}
    if foreign:
        message = ", ".join(f"shard {shard}: {name}" for shard, name in sorted(foreign.items())[:10])
        return Condition(Type.AUTOSCALING, True, "HorizontalPodAutoscaler", f"replicas of {message}")
    scaling = view.spec.autoscaling
    if scaling.replicas.enabled or scaling.shards.enabled:
        what = [name for name in ("replicas", "shards") if getattr(scaling, name).enabled]
        return Condition(Type.AUTOSCALING, True, "Autoscaler", " and ".join(what))
    return Condition(Type.AUTOSCALING, False, "Disabled", "spec.shards and spec.replicas decide")
