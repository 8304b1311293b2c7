"""The steps of a reconcile, in order, and the gates that hold changes back."""

from __future__ import annotations

from aidb_operator.plan import (
    autoscale,
    backup_health,
    backups,
    coordinator,
    deletion,
    disruption,
    fences,
    handover,
    hibernate,
    monitoring,
    network,
    primary,
    replicas,
    restores,
    retire,
    rollout,
    router,
    schedules,
    services,
    shard_groups,
    shards,
    zones,
)
from aidb_operator.plan.certificates import step as certificates
from aidb_operator.plan.planner import Gate, Step

STEPS: tuple[Step, ...] = (
    Step("deletion", deletion.plan),
    Step("certificates", certificates.plan),
    Step("network", network.plan),
    Step("zones", zones.plan),
    Step("services", services.plan),
    Step("disruption", disruption.plan),
    Step("coordinator", coordinator.plan),
    Step("fences", fences.plan),
    Step("shardgroups", shard_groups.plan),
    Step("primaries", primary.plan),
    Step("replicas", replicas.plan),
    Step("routers", router.plan),
    Step("monitoring", monitoring.plan),
    Step("shards", shards.plan),
    Step("autoscaling", autoscale.plan),
    Step("schedules", schedules.plan),
    Step("backups", backups.plan),
    Step("restores", restores.plan),
    Step("backup health", backup_health.plan),
    Step("rollout", rollout.plan),
    Step("handover", handover.plan),
    Step("hibernation", hibernate.plan),
    Step("retired", retire.plan),
)

GATES: tuple[Gate, ...] = (rollout.gate,)
