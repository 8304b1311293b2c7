"""AidbBackupSchedule: backups of a cluster, again and again."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from aidb_operator.api.backup import DeletionPolicy
from aidb_operator.api.conditions import Conditions
from aidb_operator.api.model import Model, Resource, Rule, extra
from aidb_operator.api.pod import Name

CRON = r"^(@(yearly|monthly|weekly|daily|hourly)|([-0-9*/,]+ ){3}[-0-9A-Za-z*/,]+ [-0-9A-Za-z*/,]+)$"
NAME_MOST = 52
"""Its backups have a time in their names, too."""


class Concurrency(StrEnum):
    FORBID = "Forbid"
    ALLOW = "Allow"


class AidbBackupScheduleSpec(Model):
    cluster: Name = Field(
        description="The AidbCluster, in the same namespace.",
        json_schema_extra=extra(Rule("self == oldSelf", "a schedule stays with its cluster")),
    )
    schedule: str = Field(
        min_length=6,
        max_length=128,
        pattern=CRON,
        description="Five fields of cron: minute hour day month weekday; or @hourly, @daily, ...",
    )
    time_zone: str = Field(
        default="UTC",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z][-+_A-Za-z0-9/]*$",
        description="Of the schedule, such as Europe/Vienna.",
    )
    concurrency_policy: Concurrency = Field(
        default=Concurrency.FORBID,
        description="While one of its backups is not ended, the next is left out (Forbid), or taken (Allow).",
    )
    starting_deadline_seconds: int = Field(
        default=3600,
        ge=10,
        le=604_800,
        description="A backup that could not begin so long after it was due is left out.",
    )
    suspend: bool = Field(default=False, description="Take none for now.")
    immediate: bool = Field(default=False, description="Take the first one at once.")
    keep: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="So many AidbBackups that are complete are kept at least; older ones are deleted.",
    )
    keep_days: int = Field(default=0, ge=0, le=3650, description="And all that are younger.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RELEASE, description="Of its backups: see AidbBackup."
    )
    deadline_seconds: int = Field(
        default=3600, ge=10, le=604_800, description="After that time a backup has failed."
    )


class AidbBackupScheduleStatus(Model):
    observed_generation: int = Field(default=0, description="Of the spec that this speaks of.")
    last: str | None = Field(
        default=None,
        description="When the last backup was due, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    next: str | None = Field(
        default=None,
        description="When the next backup is due, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    last_backup: str | None = Field(default=None, description="Name of the newest AidbBackup.")
    last_success: str | None = Field(
        default=None,
        description="When the newest that is complete ended, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    conditions: Conditions = ()


class AidbBackupSchedule(Resource):
    """Backups of a cluster on a schedule."""

    api_version: Literal["aidb.io/v1alpha1"] = "aidb.io/v1alpha1"
    kind: Literal["AidbBackupSchedule"] = "AidbBackupSchedule"
    spec: AidbBackupScheduleSpec = Field(description="What is wanted.")
    status: AidbBackupScheduleStatus = Field(
        default_factory=AidbBackupScheduleStatus, description="What became of it."
    )

    plural: ClassVar[str] = "aidbbackupschedules"
    name_most: ClassVar[int] = NAME_MOST
