"""BackupHealthy: is the second copy of every shard as it should be, and as new?"""

from __future__ import annotations

from typing import Any

from aidb_operator.api.cluster import BackupStatus
from aidb_operator.api.conditions import Type
from aidb_operator.plan.outcome import Condition, Outcome, View
from aidb_operator.plan.telling import of_ms

# A snapshot may be late by another period, and by what it takes.
SLACK_SECONDS = 600
# Of the archive: what docs/architecture/durability.md has an alert for, or a few of its periods.
LAG_SECONDS = 5.0
LAG_PERIODS = 3
# Older than that is no news: the coordinator asks members each 15 s.
STALE_MS = 120_000


def plan(view: View) -> Outcome:
    if view.spec.object_store is None:
        message = "spec.objectStore is not set: there is no second copy"
        return _outcome(False, "NoObjectStore", message)
    coordination = view.observed.coordination
    if coordination is None or view.spec.hibernate:
        why = "the cluster is hibernated" if view.spec.hibernate else view.observed.silence
        return _outcome(None, "NotKnown", why or "no coordinator answers")
    status = coordination.status
    known = [shard for shard in status.shards if shard.HasField("second_copy")]
    problems = [f"shard {shard.id}: {what}" for shard in known for what in _problems(view, shard.second_copy)]
    silent = [
        str(shard.id)
        for shard in status.shards
        if not shard.HasField("second_copy") or shard.second_copy.age_ms > STALE_MS
    ]
    if problems:
        outcome = _outcome(False, "SecondCopyBehind", "; ".join(problems))
    elif silent:
        outcome = _outcome(None, "NotKnown", f"primaries of shards {', '.join(silent)} were not heard of")
    else:
        outcome = _outcome(True, "Healthy", "")
    return Outcome(conditions=outcome.conditions, status=_told([shard.second_copy for shard in known]))


def _problems(view: View, copy: Any) -> list[str]:
    settings = view.spec.backup_settings
    found = []
    lag = copy.archive_lag_ms / 1000
    if lag > max(LAG_SECONDS, LAG_PERIODS * settings.archive_every_seconds):
        # Told in steps: a status that counts seconds would be written each turn.
        found.append(f"the archive is {'minutes' if lag >= 60 else 'seconds'} behind")
    if copy.archive_error:
        found.append(f"nothing is archived: {copy.archive_error}")
    age = view.now.timestamp() - copy.snapshot_at_ms / 1000
    if copy.snapshot_error:
        found.append(f"no snapshot: {copy.snapshot_error}")
    elif copy.snapshot_at_ms and age > 2 * settings.snapshot_every_seconds + SLACK_SECONDS:
        found.append(f"the newest snapshot is of {of_ms(copy.snapshot_at_ms)}")
    elif not copy.snapshot_at_ms:
        found.append("there is no snapshot yet")
    if copy.verify_problem:
        found.append(f"verification: {copy.verify_problem}")
    if copy.drill_problem:
        found.append(f"drill: {copy.drill_problem}")
    return found


def _told(copies: list[Any]) -> dict[str, Any]:
    if not copies:
        return {}
    told = BackupStatus(
        last_snapshot=of_ms(min(one.snapshot_at_ms for one in copies)),
        last_verified=of_ms(min(one.verified_at_ms for one in copies)),
        last_drill=of_ms(min(one.drilled_at_ms for one in copies)),
    )
    return {"backup": told.model_dump(mode="json", exclude_none=True)}


def _outcome(status: bool | None, reason: str, message: str) -> Outcome:
    return Outcome(conditions=[Condition(Type.BACKUP_HEALTHY, status, reason, message)])
