"""Conditions: how an object tells what is true of it, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from aidb_operator.api.model import Model, list_map

MOST = 32


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Type:
    """The types that our kinds have; they are part of the API."""

    READY = "Ready"
    """The object does what it is there for. The one to wait for."""
    PROGRESSING = "Progressing"
    """The operator, or the coordinator for it, is changing something."""
    DEGRADED = "Degraded"
    """It serves, with less than was asked for; or the operator cannot go on."""
    VALID = "Valid"
    """The spec can be carried out; else the message names the fields."""
    BACKUP_HEALTHY = "BackupHealthy"
    """The object store has what it should have, as new as it should be."""
    AUTOSCALING = "Autoscaling"
    """Who decides the number of replicas and shards."""
    PAUSED = "Paused"
    """The annotation aidb.io/paused stops the operator's changes."""
    HIBERNATED = "Hibernated"
    """spec.hibernate took everything down; data stays."""
    HAND_OVER = "HandOver"
    """A primary is about to get another node or volume."""
    CERTIFICATES_READY = "CertificatesReady"
    """The programs have certificates that are good for a while."""
    COMPLETE = "Complete"
    """Of a backup or a restore: it is done."""
    FAILED = "Failed"
    """Of a backup or a restore: it will not be tried again."""


class Condition(Model):
    """As metav1.Condition."""

    type: str = Field(max_length=316, description="What it is about, such as Ready.")
    status: Status = Field(description="Whether it holds.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Why, in one word for programs.",
    )
    message: str = Field(max_length=32768, description="Why, for people.")
    last_transition_time: str = Field(
        description="When the status last changed, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int | None = Field(default=None, ge=0, description="Of the spec that it speaks of.")


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        default=(),
        max_length=MOST,
        description="What is true of the object, and since when.",
        json_schema_extra=list_map("type"),
    ),
]


def condition(
    type: str,
    holds: bool | None,
    reason: str,
    message: str,
    now: str,
    generation: int,
    before: Iterable[Condition] = (),
) -> Condition:
    """The next one of its type. `holds` None: Unknown. Since `now` (RFC 3339), unless it was so before."""
    status = Status.UNKNOWN if holds is None else Status.TRUE if holds else Status.FALSE
    was = [old for old in before if (old.type, old.status) == (type, status)]
    since = was[0].last_transition_time if was else now
    return Condition(
        type=type,
        status=status,
        reason=reason,
        message=message[:32768],
        last_transition_time=since,
        observed_generation=generation,
    )


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    return next((one for one in conditions if one.type == type), None)


def holds(conditions: Iterable[Condition], type: str) -> bool:
    found = find(conditions, type)
    return found is not None and found.status is Status.TRUE


def dumped(conditions: Iterable[Condition]) -> list[dict[str, Any]]:
    """For a status, ordered by type: the same conditions are the same bytes."""
    ordered = sorted(conditions, key=lambda one: one.type)
    return [one.model_dump(mode="json", exclude_none=True) for one in ordered]
