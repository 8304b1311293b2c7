"""In Kubernetes people say what there is to be in an AidbCluster: the operator asks, for them. Pure."""

from __future__ import annotations

from aidb_coordinator.scaling.operation import Kind
from aidb_coordinator.scaling.requests import Request

ASKERS = ("operator", "autoscaler")


def refusal(request: Request, namespace: str, cluster: str) -> str:
    """What to do instead of asking here; empty: go on."""
    if request.asked_by in ASKERS or request.kind is Kind.REBALANCE:
        return ""
    patch = f"kubectl -n {namespace} patch aidbcluster {cluster} --type merge -p"
    if request.kind in (Kind.ADD_SHARD, Kind.REMOVE_SHARD):
        change = '\'{"spec":{"shards":N}}\''
        return f"the operator makes as many shards as its spec says: {patch} {change}"
    change = '\'{"spec":{"replicas":N}}\''
    scale = f"kubectl -n {namespace} scale shardgroup {cluster}-SHARD --replicas N"
    return (
        f"the operator makes as many replicas as its spec says: {patch} {change}, or of one shard, where "
        f"spec.autoscaling.replicas or an autoscaler has it: {scale}"
    )
