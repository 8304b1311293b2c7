"""AidbRestore: a running cluster goes back to what it was."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from aidb_operator.api.backup import BackupPhase
from aidb_operator.api.conditions import Conditions
from aidb_operator.api.model import Model, Resource, Rule
from aidb_operator.api.pod import Name


class AidbRestoreSpec(Model):
    rules = (
        Rule("self == oldSelf", "a restore does what it was asked for: make another one"),
        Rule(
            "[has(self.backup), has(self.time), has(self.lsn)].filter(given, given).size() <= 1",
            "at most one of backup, time and lsn can be given",
        ),
        Rule(
            "!has(self.lsn) || (has(self.shards) && self.shards.size() == 1)",
            "an lsn is of one shard: name it in shards",
            ".shards",
        ),
    )

    cluster: Name = Field(description="The AidbCluster, in the same namespace. What it has now is given up.")
    backup: Name | None = Field(
        default=None, description="An AidbBackup of the cluster, in the same namespace: to its time."
    )
    time: str | None = Field(
        default=None,
        description="To this time, RFC 3339; to the newest when neither it nor backup nor lsn is given.",
        json_schema_extra={"format": "date-time"},
    )
    lsn: int | None = Field(default=None, ge=1, description="To this LSN of the one shard.")
    shards: tuple[int, ...] = Field(
        default=(), max_length=1000, description="These shards alone; all when not given."
    )


class AidbRestoreStatus(Model):
    observed_generation: int = Field(default=0, description="Of the spec that this speaks of.")
    phase: BackupPhase | None = Field(default=None, description="The conditions in one word, for people.")
    started: str | None = Field(
        default=None, description="RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    finished: str | None = Field(
        default=None, description="RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    time: str | None = Field(
        default=None,
        description="To which the cluster went, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    waiting: tuple[int, ...] = Field(
        default=(), max_length=1000, description="Shards that are not in place yet."
    )
    conditions: Conditions = ()


class AidbRestore(Resource):
    """A running cluster goes back to a backup or a time."""

    api_version: Literal["aidb.io/v1alpha1"] = "aidb.io/v1alpha1"
    kind: Literal["AidbRestore"] = "AidbRestore"
    spec: AidbRestoreSpec = Field(description="What is wanted.")
    status: AidbRestoreStatus = Field(default_factory=AidbRestoreStatus, description="What became of it.")

    plural: ClassVar[str] = "aidbrestores"
