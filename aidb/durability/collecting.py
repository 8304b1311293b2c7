"""Retention, carried out: `retention_plan` decides.

It makes its hold before it looks at anything, and gives up what it has planned when its time is over or
another epoch was claimed. Snapshots go before the SSTs they named; between the two it looks once more who
restores.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from aidb.durability.catalog import Catalog
from aidb.durability.hold import Hold, Purpose
from aidb.durability.holding import SECONDS, ended_long_ago, held, others
from aidb.durability.identity import Place
from aidb.durability.names import last_number
from aidb.durability.retention_plan import Inventory, Policy, RetentionPlan, retention_plan
from aidb.objects.errors import Unavailable
from aidb.objects.store import Stat, every

# The hold's time, less what one deletion and the difference of clocks may take.
_WORK_SECONDS = SECONDS[Purpose.RETENTION] - 120.0
_CHECK_EACH = 100


@dataclass(frozen=True, slots=True)
class Collected:
    """``notes`` say what was left for the next time, and why."""

    plan: RetentionPlan
    deleted: int
    notes: tuple[str, ...]


def collect(catalog: Catalog, policy: Policy, *, dry_run: bool) -> Collected:
    """Deletes what the policy does not keep.

    Raises:
        Unavailable: another retention is under way.
        Damaged: a manifest is, so that nobody knows what it needs: nothing is deleted.
        ObjectError
    """
    if dry_run:
        plan, _, notes = _planned(catalog, policy, catalog.holds(), catalog.newest_claim())
        return Collected(plan, 0, notes)
    ends = time.monotonic() + _WORK_SECONDS
    names = catalog.names
    with held(catalog, Purpose.RETENTION, Place(names.cluster_uid, names.shard, 0)) as hold:
        known = others(catalog, hold)
        if any(other.purpose is Purpose.RETENTION for other in known):
            raise Unavailable(f"a retention of {names.root} is under way already")
        epoch = catalog.newest_claim()
        plan, restoring, notes = _planned(catalog, policy, known, epoch)
        deleted, stopped = _delete(catalog, plan.manifests, epoch, ends)
        if not stopped and _restoring(others(catalog, hold)) - restoring:
            stopped = "a restore began meanwhile"
        for stats in (plan.tables, plan.pieces):
            if not stopped:
                done, stopped = _delete(catalog, stats, epoch, ends)
                deleted += done
        for key in ended_long_ago(catalog):
            catalog.store.delete(key)
    return Collected(plan, deleted, notes + ((f"{stopped}: the rest is left",) if stopped else ()))


def _planned(
    catalog: Catalog, policy: Policy, known: Iterable[Hold], epoch: int
) -> tuple[RetentionPlan, set[Place], tuple[str, ...]]:
    known = list(known)
    restoring = _restoring(known)
    spare = any(hold.purpose is Purpose.SNAPSHOT for hold in known)
    manifests = list(catalog.manifests_from(epoch))
    now = time.time()
    kept = retention_plan(Inventory(manifests, (), {}), policy, restoring, now).kept
    inventory = Inventory(
        manifests, catalog.tables(), _old_logs(catalog, [one.log for one in kept if one.log])
    )
    notes = ("a snapshot is being made: tables are left",) if spare else ()
    return retention_plan(inventory, policy, restoring, now, spare_tables=spare), restoring, notes


def _old_logs(catalog: Catalog, needed: list[tuple[int, int]]) -> dict[int, list[Stat]]:
    """Of each epoch's log what may go, and the objects after it that stay."""
    if not needed:
        return {}
    oldest_epoch, oldest_sequence = min(needed)
    logs = {epoch: catalog.log(epoch) for epoch in catalog.claimed() if epoch < oldest_epoch}
    stats = every(catalog.store, catalog.names.logs(oldest_epoch))
    logs[oldest_epoch] = list(
        takewhile(lambda stat: (last_number(stat.key) or 0) < oldest_sequence + 2, stats)
    )
    return logs


def _restoring(known: Iterable[Hold]) -> set[Place]:
    return {hold.place for hold in known if hold.purpose is Purpose.RESTORE}


def _delete(catalog: Catalog, stats: Iterable[Stat], epoch: int, ends: float) -> tuple[int, str]:
    deleted = 0
    for number, stat in enumerate(stats):
        if number % _CHECK_EACH == 0 and catalog.newest_claim() != epoch:
            return deleted, "another epoch was claimed"
        if time.monotonic() > ends:
            return deleted, "the time is over"
        catalog.store.delete(stat.key)
        deleted += 1
    return deleted, ""
