"""spec.bootstrap: a cluster that begins with what another one had."""

from __future__ import annotations

from pydantic import Field

from aidb_operator.api.model import Model, Rule
from aidb_operator.api.object_store import Bucket
from aidb_operator.api.pod import Name


class Recovery(Model):
    """From a backup of ours, or from the object store of a cluster that may be gone. Exactly one source."""

    rules = (
        Rule("has(self.backup) != has(self.source)", "exactly one of backup and source has to be given"),
    )

    backup: Name | None = Field(
        default=None, description="An AidbBackup in this namespace: its cluster, as of its time."
    )
    source: Bucket | None = Field(
        default=None,
        description="The object store of the cluster to begin from, which is only read. It is reached with"
        " the credentials and the authority of objectStore; it may be the same one.",
    )
    cluster_uid: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[-0-9a-zA-Z]+$",
        description="Of the cluster in source; needed when the store holds more than one.",
    )
    time: str | None = Field(
        default=None,
        description="The state as of this time, RFC 3339; the newest when not given.",
        json_schema_extra={"format": "date-time"},
    )


class Bootstrap(Model):
    recovery: Recovery | None = Field(default=None, description="Begin with the data of another cluster.")
