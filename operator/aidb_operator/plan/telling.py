"""Status of backups, schedules and restores: a patch when it says anything else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aidb_operator.api import conditions as api
from aidb_operator.api.conditions import Conditions
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.plan.outcome import Condition, Patch


def rfc3339(moment: datetime) -> str:
    """In UTC, to the second, as Kubernetes writes times."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def of_ms(milliseconds: int) -> str | None:
    """RFC 3339 in UTC, to the millisecond; None for 0."""
    if not milliseconds:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_ms(text: str) -> int:
    """Since 1970. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def status(
    kind: Kind,
    raw: Raw,
    before: Conditions,
    now: datetime,
    fields: Mapping[str, Any],
    conditions: tuple[Condition, ...] = (),
) -> tuple[Patch, ...]:
    """A field that is None goes; conditions that are not named stay."""
    generation = raw["metadata"].get("generation", 0)
    made = {one.type: one for one in before}
    for one in conditions:
        made[one.type] = api.condition(
            one.type, one.status, one.reason, one.message, rfc3339(now), generation, before
        )
    existing = raw.get("status") or {}
    wanted: Raw = {name: value for name, value in fields.items() if value is not None or name in existing}
    wanted |= {"observedGeneration": generation, "conditions": api.dumped(made.values())}
    if all(existing.get(name) == value for name, value in wanted.items()):
        return ()
    return (Patch(kind, raw["metadata"]["name"], {"status": wanted}, "its status", subresource="status"),)
