"""AidbBackups that are made when they are due, and those that are not kept any more.

What is due is decided by the last one that was, which is in the status, so a restart of the operator makes
none twice: a backup's name is its schedule's and the minute that it was due.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from aidb_operator import names
from aidb_operator.api.backup import AidbBackup, BackupPhase
from aidb_operator.api.backup_schedule import AidbBackupSchedule, Concurrency
from aidb_operator.api.conditions import Type
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.observed import timestamp
from aidb_operator.plan import backups, cron
from aidb_operator.plan.cron import BadSchedule
from aidb_operator.plan.outcome import Action, Condition, Delete, Desired, Event, Outcome, View
from aidb_operator.plan.telling import rfc3339, status

SCHEDULE = f"{names.GROUP}/schedule"
FAILED_KEPT = 3
LONGEST = 3600.0


def plan(view: View) -> Outcome:
    found = [_one(view, raw) for raw in view.observed.all(kinds.BACKUP_SCHEDULE)]
    return Outcome(
        actions=[action for one in found for action in one.actions],
        events=[event for one in found for event in one.events],
        again=min((one.again for one in found if one.again is not None), default=None),
    )


def _one(view: View, raw: Raw) -> Outcome:
    try:
        schedule = AidbBackupSchedule.of(raw)
    except ValidationError:
        return Outcome()
    if schedule.deleting:
        return Outcome()
    made = _made_by(view, schedule)
    actions: list[Action] = list(_collect(view, schedule, made))
    try:
        times = cron.parse(schedule.spec.schedule, schedule.spec.time_zone)
    except BadSchedule as error:
        told = Condition(Type.VALID, False, "InvalidSchedule", f"spec.schedule, spec.timeZone: {error}")
        actions += status(kinds.BACKUP_SCHEDULE, raw, schedule.status.conditions, view.now, {}, (told,))
        return Outcome(actions=actions)
    last, events = schedule.status.last, []
    due = _due(view, schedule, times)
    left_out = ""
    if due is not None:
        left_out = _left_out(view, schedule, made, due)
        last = rfc3339(due)
        if left_out:
            message = f"AidbBackupSchedule {schedule.name}: the backup of {last} is left out: {left_out}"
            events.append(Event("BackupLeftOut", message, warning=True))
        else:
            actions.append(Desired(_backup(view, schedule, due)))
    upcoming = None if schedule.spec.suspend else times.after(view.now)
    complete = [one for one in made if one.status.phase is BackupPhase.COMPLETE and one.status.finished]
    names_made = [one.name for one in made] + ([_name(schedule, due)] if due and not left_out else [])
    fields: dict[str, Any] = {
        "last": last,
        "next": None if upcoming is None else rfc3339(upcoming),
        "lastBackup": names_made[-1] if names_made else None,
        "lastSuccess": max((str(one.status.finished) for one in complete), default=None),
    }
    conditions = (
        Condition(Type.VALID, True, "Valid"),
        Condition(
            Type.READY,
            not schedule.spec.suspend,
            "Suspended" if schedule.spec.suspend else "Scheduled",
            "spec.suspend" if schedule.spec.suspend else "",
        ),
    )
    actions += status(kinds.BACKUP_SCHEDULE, raw, schedule.status.conditions, view.now, fields, conditions)
    wait = None if upcoming is None else (upcoming - view.now).total_seconds() + 0.1
    return Outcome(actions=actions, events=events, again=None if wait is None else min(wait, LONGEST))


def _made_by(view: View, schedule: AidbBackupSchedule) -> list[AidbBackup]:
    """Oldest first; those that are being deleted are gone."""
    found = [backups.read(raw) for raw in view.observed.all(kinds.BACKUP)]
    mine = [
        one
        for one in found
        if one is not None and one.metadata.labels.get(SCHEDULE) == schedule.name and not one.deleting
    ]
    return sorted(mine, key=lambda one: (one.metadata.creation_timestamp or "", one.name))


def _due(view: View, schedule: AidbBackupSchedule, times: cron.Schedule) -> datetime | None:
    """The newest time that it was due since the last one; of many that were missed, the others are not made
    up for.
    """
    if schedule.spec.suspend:
        return None
    if schedule.status.last is None:
        created = schedule.metadata.creation_timestamp
        if schedule.spec.immediate:
            return view.now.replace(microsecond=0)
        since = view.now if created is None else timestamp(created)
    else:
        since = timestamp(schedule.status.last)
    # Further back than that nothing would be made of it.
    oldest = view.now - timedelta(seconds=schedule.spec.starting_deadline_seconds) - timedelta(days=1)
    return times.newest(max(since, oldest), view.now)


def _left_out(view: View, schedule: AidbBackupSchedule, made: list[AidbBackup], due: datetime) -> str:
    """Why no backup is made of it, or nothing."""
    late = (view.now - due).total_seconds()
    if late > schedule.spec.starting_deadline_seconds:
        return (
            f"it is {late:.0f} s late, startingDeadlineSeconds is {schedule.spec.starting_deadline_seconds}"
        )
    running = [one.name for one in made if one.status.phase not in backups.ENDED]
    if running and schedule.spec.concurrency_policy is Concurrency.FORBID:
        return f"AidbBackup {running[0]} is not ended"
    return "the cluster is hibernated" if view.spec.hibernate else ""


def _name(schedule: AidbBackupSchedule, due: datetime) -> str:
    return f"{schedule.name}-{int(due.timestamp()) // 60}"


def _backup(view: View, schedule: AidbBackupSchedule, due: datetime) -> Raw:
    """Nobody owns it: it outlives its schedule, and the cluster."""
    labels = {**names.labels(view.name), SCHEDULE: schedule.name}
    return {
        "apiVersion": kinds.BACKUP.api_version,
        "kind": kinds.BACKUP.name,
        "metadata": {"name": _name(schedule, due), "namespace": view.namespace, "labels": labels},
        "spec": {
            "cluster": view.name,
            "deadlineSeconds": schedule.spec.deadline_seconds,
            "deletionPolicy": schedule.spec.deletion_policy.value,
        },
    }


def _collect(view: View, schedule: AidbBackupSchedule, made: list[AidbBackup]) -> list[Delete]:
    """The newest are kept, those that are young, and the last that failed."""
    complete = [one for one in made if one.status.phase is BackupPhase.COMPLETE]
    failed = [one for one in made if one.status.phase is BackupPhase.FAILED]
    young_from = view.now - timedelta(days=schedule.spec.keep_days)
    old = [
        one
        for one in complete[: -schedule.spec.keep]
        if timestamp(one.metadata.creation_timestamp or rfc3339(view.now)) < young_from
    ]
    return [
        Delete(
            kinds.BACKUP, one.name, one.metadata.uid, f"AidbBackupSchedule {schedule.name} keeps it no more"
        )
        for one in [*old, *failed[:-FAILED_KEPT]]
    ]
