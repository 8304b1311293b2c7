"""PodDisruptionBudgets. Pods that are not healthy may always be evicted: they must not hold up a drain.

A primary's is over all incarnations of its shard: an eviction waits for the hand-over to one elsewhere, which
always ends (`handover.unprotected`). Without an object store there is no hand-over, and no budget that would
hold a node up for ever.
"""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import Component
from aidb_operator.plan import handover, wanted
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Outcome, View, objects


def plan(view: View) -> Outcome:
    spec, own = view.spec, view.names
    found: list[Raw] = []
    unprotected = handover.unprotected(view)
    if spec.coordinators.replicas > 1:
        found.append(_budget(view, own.coordinator, "coordinator", maxUnavailable=1))
    if spec.routers.replicas > 1:
        found.append(_budget(view, own.router, "router", maxUnavailable=1))
    for shard in wanted.shards(view):
        if spec.object_store is not None and shard not in unprotected:
            found.append(_budget(view, own.primary_budget(shard), "primary", shard, minAvailable=1))
        if wanted.replicas(view, shard) > 1:
            found.append(_budget(view, own.replica(shard), "replica", shard, maxUnavailable=1))
    return Outcome(actions=objects(found))


def _budget(view: View, name: str, component: Component, shard: int | None = None, **limit: int) -> Raw:
    selector = {"matchLabels": names.selector(view.name, component, shard)}
    spec = {"selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow", **limit}
    return made(view, kinds.BUDGET, name, component, shard, spec=spec)
