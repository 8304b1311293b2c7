"""The kinds, and what `kubectl get` shows of them."""

from __future__ import annotations

from dataclasses import dataclass

from aidb_operator.api.backup import AidbBackup
from aidb_operator.api.backup_schedule import AidbBackupSchedule
from aidb_operator.api.cluster import AidbCluster
from aidb_operator.api.model import Resource
from aidb_operator.api.restore import AidbRestore
from aidb_operator.api.shard_group import ShardGroup

GROUP = "aidb.io"
VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Column:
    """Of `kubectl get`; `wide` ones with `-o wide` alone."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Paths of the scale subresource."""

    spec_replicas: str
    status_replicas: str
    selector: str


@dataclass(frozen=True, slots=True)
class Kind:
    resource: type[Resource]
    short: tuple[str, ...]
    columns: tuple[Column, ...]
    scale: Scale | None = None

    @property
    def plural(self) -> str:
        return self.resource.plural

    @property
    def name(self) -> str:
        return self.resource.__name__

    @property
    def full_name(self) -> str:
        return f"{self.plural}.{GROUP}"


def _condition(type: str, what: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{type}")].{what}'


AGE = Column("Age", ".metadata.creationTimestamp", "date")

KINDS: tuple[Kind, ...] = (
    Kind(
        AidbCluster,
        ("aidb",),
        (
            Column("Status", ".status.phase"),
            Column("Shards", ".status.shards.current", "integer", "In the topology"),
            Column("Serving", ".status.shards.ready", "integer", "Shards with a primary that serves"),
            Column("Replicas", ".status.replicas.ready", "integer", "Cache replicas that are ready"),
            Column("Durability", ".spec.durability"),
            Column("Backup", _condition("BackupHealthy"), description="Is the second copy as it should be"),
            Column("Version", ".status.version"),
            AGE,
            Column("Endpoint", ".status.endpoint", wide=True),
            Column("Leader", ".status.coordinator", wide=True, description="The coordinator that leads"),
            Column("Operation", ".status.operation", wide=True),
            Column("Snapshot", ".status.backup.lastSnapshot", "date", wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
    ),
    Kind(
        ShardGroup,
        ("sg",),
        (
            Column("Cluster", ".spec.cluster"),
            Column("Shard", ".spec.shard", "integer"),
            Column("Ready", _condition("Ready"), description="The primary serves"),
            Column("Primary", ".status.primary"),
            Column("Wanted", ".spec.replicas", "integer", "Cache replicas that there should be"),
            Column("Replicas", ".status.readyReplicas", "integer", "Cache replicas that are ready"),
            Column("Slots", ".status.slots", "integer"),
            Column("Node", ".status.node"),
            AGE,
            Column("Keys", ".status.keys", "integer", wide=True),
            Column("Bytes", ".status.bytes", "integer", wide=True),
            Column("Epoch", ".status.epoch", "integer", wide=True),
            Column("ScaledBy", ".status.scaledBy", wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
        Scale(".spec.replicas", ".status.replicas", ".status.selector"),
    ),
    Kind(
        AidbBackup,
        ("aidbb",),
        (
            Column("Cluster", ".spec.cluster"),
            Column("Status", ".status.phase"),
            Column("Restorable", ".status.time", description="A restore to this time has all of it"),
            Column("Bytes", ".status.bytes", "integer"),
            AGE,
            Column("Url", ".status.url", wide=True),
            Column("Message", _condition("Complete", "message"), wide=True),
        ),
    ),
    Kind(
        AidbBackupSchedule,
        ("aidbbs",),
        (
            Column("Cluster", ".spec.cluster"),
            Column("Schedule", ".spec.schedule"),
            Column("Suspended", ".spec.suspend", "boolean"),
            Column("Last", ".status.last", "date"),
            Column("Next", ".status.next"),
            Column("Newest", ".status.lastBackup", description="The newest AidbBackup"),
            AGE,
        ),
    ),
    Kind(
        AidbRestore,
        ("aidbr",),
        (
            Column("Cluster", ".spec.cluster"),
            Column("Status", ".status.phase"),
            Column("Time", ".status.time", description="To which the cluster went"),
            AGE,
            Column("Message", _condition("Complete", "message"), wide=True),
        ),
    ),
)
