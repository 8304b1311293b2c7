"""Deletes what the operator made and does not want any more: replicas of a shard that went, its budget.

What holds data, or lets others go on with it, is not its business: StatefulSets and volumes of primaries
(`plan.retire`), secrets, and the documents that the coordinator writes. Nor is what the cluster does not own.
"""

from __future__ import annotations

from collections.abc import Sequence

from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import kind_of
from aidb_operator.plan.metadata import is_owned
from aidb_operator.plan.outcome import Delete, Desired, Outcome, View

PRUNED = (
    kinds.SERVICE_MONITOR,
    kinds.NETWORK_POLICY,
    kinds.BUDGET,
    kinds.SHARD_GROUP,
    kinds.DEPLOYMENT,
    kinds.SERVICE,
    kinds.ROLE_BINDING,
    kinds.ROLE,
    kinds.SERVICE_ACCOUNT,
    kinds.CONFIG_MAP,
)


def plan(view: View, desired: Sequence[Desired]) -> Outcome:
    wanted = {(kind_of(one.raw), one.name) for one in desired}
    names = view.names
    kept = {(kinds.CONFIG_MAP, name) for name in (names.topology, names.operations, names.autoscaler)}
    actions = [
        Delete(kind, raw["metadata"]["name"], raw["metadata"]["uid"], "it is not wanted any more")
        for kind in PRUNED
        for raw in view.observed.all(kind)
        if (kind, raw["metadata"]["name"]) not in wanted | kept
        and is_owned(raw, view.cluster)
        and "deletionTimestamp" not in raw["metadata"]
    ]
    return Outcome(actions=actions)
