"""AidbBackup: one backup of a cluster, taken now."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from aidb_operator.api.conditions import Conditions
from aidb_operator.api.model import Model, Resource, Rule
from aidb_operator.api.pod import Name


class BackupPhase(StrEnum):
    """For the printer column; programs read conditions."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"


class DeletionPolicy(StrEnum):
    RELEASE = "Release"
    RETAIN = "Retain"


class AidbBackupSpec(Model):
    rules = (Rule("self == oldSelf", "a backup is of what it was asked for: make another one"),)

    cluster: Name = Field(description="The AidbCluster, in the same namespace.")
    deadline_seconds: int = Field(
        default=3600, ge=10, le=604_800, description="After that time it has failed."
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RELEASE,
        description="When this object is deleted, retention may have its snapshots (Release), or they are"
        " kept for good (Retain). Until then they, and the log that follows them, are kept.",
    )


class ShardBackup(Model):
    shard: int = Field(ge=0, description="Its number.")
    snapshot: str = Field(max_length=128, description="Name of its snapshot in the object store.")
    lsn: int = Field(description="Up to which the snapshot has everything.")
    bytes: int = Field(default=0, description="Of all its files.")
    time: str | None = Field(
        default=None,
        description="When it was taken, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )


class AidbBackupStatus(Model):
    observed_generation: int = Field(default=0, description="Of the spec that this speaks of.")
    phase: BackupPhase | None = Field(default=None, description="The conditions in one word, for people.")
    started: str | None = Field(
        default=None, description="RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    finished: str | None = Field(
        default=None, description="RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    url: str | None = Field(default=None, description="The object store that has it.")
    endpoint: str | None = Field(default=None, description="Of the object store, where it is not Amazon's.")
    region: str | None = Field(default=None, description="Of the bucket.")
    cluster_uid: str | None = Field(default=None, description="Of the data.")
    time: str | None = Field(
        default=None,
        description="A restore to this time has all that was acknowledged before the backup began, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    bytes: int | None = Field(default=None, description="Of all shards' files.")
    shards: tuple[ShardBackup, ...] = Field(
        default=(),
        max_length=1000,
        description="The snapshot of each shard.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["shard"],
        },
    )
    conditions: Conditions = ()


class AidbBackup(Resource):
    """A backup of a cluster: a snapshot of each shard, and the log up to one time."""

    api_version: Literal["aidb.io/v1alpha1"] = "aidb.io/v1alpha1"
    kind: Literal["AidbBackup"] = "AidbBackup"
    spec: AidbBackupSpec = Field(description="What is wanted.")
    status: AidbBackupStatus = Field(default_factory=AidbBackupStatus, description="What became of it.")

    plural: ClassVar[str] = "aidbbackups"
