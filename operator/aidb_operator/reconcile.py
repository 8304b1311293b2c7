"""One turn of one cluster: observe, ask the coordinator, plan, apply, tell. Level-triggered: whatever
happened before, and whether or not an earlier turn came to its end, the next one goes on from what is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from aidb_operator import group_status, names, status
from aidb_operator.api import validation
from aidb_operator.api.cluster import AidbCluster, ClusterSpec
from aidb_operator.apply import Applied, carry_out
from aidb_operator.coordinator import Coordinators
from aidb_operator.events import Events
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import Api, ApiError
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.kubernetes.store import ClusterKey, Seen, Store
from aidb_operator.observed import BadTopology, Observed, observe
from aidb_operator.plan import backups, planner, pods
from aidb_operator.plan.outcome import Event, View
from aidb_operator.plan.planner import Plan
from aidb_operator.plan.steps import GATES, STEPS

log = logging.getLogger("aidb.operator")

# Until the watches may have read everything.
UNREAD_SECONDS = 0.5


class TurnFailed(Exception):
    """Something could not be done; it is tried again after a backoff."""


class Telling(Protocol):
    """Who is told how turns go: metrics."""

    def turn(self, seconds: float, failed: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reconcile works with."""

    store: Store
    api: Api
    coordinators: Coordinators
    events: Events
    telling: Telling
    available: Callable[[], frozenset[Kind]]
    image: str = ""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    stopped: Callable[[], bool] = lambda: False


def reconcile(key: ClusterKey, around: Surroundings) -> float | None:
    """Seconds until the next turn, or None for the usual. Raises TurnFailed."""
    seen = around.store.seen(key)
    if seen is None:
        return UNREAD_SECONDS
    cluster = seen.objects.get(kinds.CLUSTER, {}).get(key.name)
    if cluster is None:
        around.coordinators.forget(key)
        for patch in backups.orphaned(seen.objects):
            around.api.patch(patch.kind, key.namespace, patch.name, dict(patch.body))
        return None
    began = time.monotonic()
    failed = True
    try:
        again = _turn(key, cluster, seen, around)
        failed = False
        return again
    finally:
        around.telling.turn(time.monotonic() - began, failed)


def _turn(key: ClusterKey, cluster: Raw, seen: Seen, around: Surroundings) -> float | None:
    now = around.clock()
    deleting = "deletionTimestamp" in cluster["metadata"]
    spec, problems = _read(cluster)
    if problems and not deleting:
        _write(cluster, status.invalid(cluster, problems, now), around.api)
        return None
    try:
        observed = observe(key.name, seen.objects, seen.nodes, around.available(), deleting=deleting)
    except BadTopology as error:
        # Whoever decides without it might make a second first shard: nothing is touched.
        _write(cluster, status.stopped(cluster, "TopologyUnreadable", str(error), now), around.api)
        raise TurnFailed(str(error)) from error
    observed = _with_source(observed, spec, key, around.store)
    caller = around.coordinators.of(key, observed)
    if not deleting:
        observed = caller.asked(observed, scaling=spec.autoscaling.enabled)
    view = View(cluster, spec, observed, now, around.image)
    if names.PAUSED in (cluster["metadata"].get("annotations") or {}) and not deleting:
        _write(cluster, status.paused(view), around.api)
        return None
    if not pods.image(view) and not deleting:
        problem = "spec.image: none is given, and the operator was started without --image"
        _write(cluster, status.invalid(cluster, problem, now), around.api)
        return None
    plan = planner.plan(view, STEPS, GATES)
    applied = carry_out(plan.actions, observed, key.namespace, around.api, caller, around.stopped)
    _tell(cluster, plan, applied, around)
    if not deleting:
        _write(cluster, status.of(view, plan, applied), around.api)
        for name, told in group_status.changes(view):
            _patch_status(kinds.SHARD_GROUP, key.namespace, name, told, around.api)
    if applied.errors:
        raise TurnFailed("; ".join(applied.errors[:3]))
    return plan.again


def _with_source(observed: Observed, spec: ClusterSpec, key: ClusterKey, store: Store) -> Observed:
    """What it begins with is another cluster's, and not among what is known of this one."""
    recovery = None if spec.bootstrap is None else spec.bootstrap.recovery
    if observed.topology is not None or recovery is None or recovery.backup is None:
        return observed
    return replace(observed, source=store.get(kinds.BACKUP, key.namespace, recovery.backup))


def _tell(cluster: Raw, plan: Plan, applied: Applied, around: Surroundings) -> None:
    told = [event for step in plan.steps for event in step.outcome.events]
    failed = [Event("ReconcileFailed", error, warning=True) for error in applied.errors]
    around.events.post(cluster, [*told, *applied.events, *failed])


def _write(cluster: Raw, wanted: Raw, api: Api) -> None:
    """Only when it says anything else."""
    if status.differs(cluster.get("status", {}), wanted):
        metadata = cluster["metadata"]
        _patch_status(kinds.CLUSTER, metadata["namespace"], metadata["name"], wanted, api)


def _patch_status(kind: Kind, namespace: str, name: str, told: Raw, api: Api) -> None:
    """Raises TurnFailed: what it says is out of date then."""
    try:
        api.patch(kind, namespace, name, {"status": told}, subresource="status")
    except ApiError as error:
        if not error.gone:
            raise TurnFailed(str(error)) from error


def _read(cluster: Raw) -> tuple[ClusterSpec, str]:
    """The spec, and what is wrong with it: an unreadable one is one of defaults, for nothing but deletion."""
    unreadable = validation.unreadable(AidbCluster, cluster)
    if unreadable:
        return ClusterSpec(), validation.sentence(unreadable)
    spec = ClusterSpec.model_validate(cluster.get("spec", {}))
    return spec, validation.sentence(validation.problems(spec))
