"""AidbCluster: a cluster, as it should be and as it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from aidb_operator.api.autoscaling import Autoscaling
from aidb_operator.api.conditions import Conditions
from aidb_operator.api.model import Model, Resource, Rule, extra, group
from aidb_operator.api.object_store import Backup, ObjectStore
from aidb_operator.api.pod import Name, Peer, PodSettings
from aidb_operator.api.quantity import SizeText
from aidb_operator.api.recovery import Bootstrap

NAME_MOST = 40
"""The StatefulSet `<name>-<shard>-<incarnation>` has to be below 52: its pods carry that, `-` and a hash of
ten in a label of 63. Shards and incarnations of up to five digits fit.
"""

IMAGE = r"^[a-z0-9]+([._:/-][a-zA-Z0-9]+|__[a-zA-Z0-9]+|-+[a-zA-Z0-9]+)*(@sha256:[0-9a-f]{64})?$"


class Durability(StrEnum):
    ASYNC = "async"
    REPLICA = "replica"
    ARCHIVED = "archived"


class Sync(StrEnum):
    GROUP = "group"
    INTERVAL = "interval"
    NONE = "none"


class Keep(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Storage(Model):
    """The volume of a primary."""

    rules = (
        Rule(
            "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            "a volume cannot shrink: add shards, or restore into a new cluster",
            ".size",
        ),
        Rule("quantity(self.size).compareTo(quantity('64Mi')) >= 0", "a volume is 64Mi or more", ".size"),
    )

    size: SizeText = Field(default="10Gi", description="Of the volume of each primary. It may grow.")
    class_name: Name | None = Field(
        default=None, description="StorageClass of local volumes; the default one when not given. May change."
    )
    reclaim_policy: Keep = Field(
        default=Keep.RETAIN,
        description="What becomes of the volume of a primary that was replaced, or whose shard was removed.",
    )


class Routers(PodSettings):
    replicas: int = Field(default=2, ge=0, le=100, description="How many routers there are.")


class Coordinators(PodSettings):
    replicas: int = Field(
        default=2, ge=1, le=5, description="How many coordinators there are; one of them leads."
    )


_A_MEGABYTE = Rule(
    "quantity(self).compareTo(quantity('1Mi')) >= 0", "1Mi or more: is a suffix such as Mi missing?"
)


class Primary(PodSettings):
    rules = (
        Rule(
            "!(has(self.memoryBytes) && has(self.cacheBytes))",
            "memoryBytes is one budget instead of cacheBytes: give one of them",
            ".memoryBytes",
        ),
    )

    cache_bytes: SizeText | None = Field(
        default=None,
        description="Of the block cache; 64Mi when not given.",
        json_schema_extra=extra(_A_MEGABYTE),
    )
    memory_bytes: SizeText | None = Field(
        default=None,
        description="One budget for caches, indexes, memtables and records kept, instead of cacheBytes.",
        json_schema_extra=extra(_A_MEGABYTE),
    )


class Replica(PodSettings):
    cache_bytes: SizeText | None = Field(
        default=None,
        description="Of the cache; 64Mi when not given.",
        json_schema_extra=extra(_A_MEGABYTE),
    )


class Takeover(Model):
    enabled: bool = Field(
        default=True,
        description="A shard whose primary stays gone gets another one, from the object store.",
    )
    grace_seconds: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="So long a primary may restart in place, which loses nothing.",
    )


class Tls(Model):
    rules = (
        Rule(
            "self.renewBeforeDays < self.certificateDays",
            "renewBeforeDays has to be below certificateDays",
            ".renewBeforeDays",
        ),
    )

    enabled: bool = Field(
        default=True,
        description="Every port demands certificates. It cannot be changed later.",
        json_schema_extra=extra(Rule("self == oldSelf", "TLS cannot be turned on or off later")),
    )
    certificate_days: int = Field(default=90, ge=1, le=3650, description="Life of a certificate.")
    renew_before_days: int = Field(
        default=30, ge=0, le=3649, description="So long before its end a certificate is renewed."
    )


class NetworkPolicies(Model):
    enabled: bool = Field(default=True, description="Pods accept only what they need.")
    clients: tuple[Peer, ...] = Field(
        default=(), max_length=32, description="Who may reach the storage port; everybody when empty."
    )


class Security(Model):
    tls: Tls = group(Tls, "Certificates of the programs.")
    network_policy: NetworkPolicies = group(NetworkPolicies, "NetworkPolicies of the pods.")


class ServiceMonitorSettings(Model):
    enabled: bool = Field(default=False, description="Make one, where the cluster knows that kind.")
    labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=16, description="By which Prometheus chooses it."
    )
    interval_seconds: int = Field(default=30, ge=1, le=3600, description="Between two scrapes.")


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Logs(Model):
    format: LogFormat = Field(default=LogFormat.TEXT, description="json: one object a line, for machines.")
    level: LogLevel = Field(default=LogLevel.INFO, description="What is below it is not written.")
    slow_request_milliseconds: int = Field(
        default=1000,
        ge=0,
        le=86_400_000,
        description="Requests that take so long are in the nodes' logs, without their keys; 0: none.",
    )


class Tracing(Model):
    otlp_endpoint: Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s@]+$")] | None = Field(
        default=None,
        description="Where spans of sampled requests go, by OTLP over HTTP: http://collector.monitoring:4318.",
    )


class Monitoring(Model):
    service_monitor: ServiceMonitorSettings = group(
        ServiceMonitorSettings, "A ServiceMonitor of the Prometheus operator."
    )


class ClusterSpec(Model):
    rules = (
        Rule(
            "self.durability != 'archived' || has(self.objectStore)",
            "durability archived needs an objectStore",
            ".objectStore",
        ),
        Rule(
            "self.durability != 'replica' || (self.autoscaling.replicas.enabled"
            " ? self.autoscaling.replicas.min > 0 : self.replicas > 0)",
            "durability replica needs replicas",
            ".replicas",
        ),
        Rule("!has(self.backup) || has(self.objectStore)", "backups need an objectStore", ".objectStore"),
        Rule(
            "!has(oldSelf.objectStore) || has(self.objectStore)",
            "the objectStore cannot be taken away: it is the second copy",
            ".objectStore",
        ),
        Rule(
            "!has(self.bootstrap) || !has(self.bootstrap.recovery) || has(self.objectStore)",
            "a cluster that begins from a backup needs an objectStore of its own",
            ".objectStore",
        ),
        Rule(
            "has(self.bootstrap) == has(oldSelf.bootstrap)"
            " && (!has(self.bootstrap) || self.bootstrap == oldSelf.bootstrap)",
            "bootstrap is how a cluster began: it cannot be changed",
            ".bootstrap",
        ),
    )

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=IMAGE,
        description="Of all programs; that of the operator's configuration when not given.",
    )
    image_pull_policy: PullPolicy = Field(
        default=PullPolicy.IF_NOT_PRESENT, description="When an image is pulled."
    )
    image_pull_secrets: tuple[Name, ...] = Field(
        default=(), max_length=8, description="Secrets of the registry."
    )
    shards: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="How many shards there should be. Shards that go are emptied first."
        " Not looked at while autoscaling.shards is enabled.",
    )
    replicas: int = Field(
        default=2,
        ge=0,
        le=100,
        description="Cache replicas of each shard. Not looked at while autoscaling.replicas is enabled,"
        " or for a shard that a HorizontalPodAutoscaler scales.",
    )
    durability: Durability = Field(
        default=Durability.ASYNC,
        description="What acknowledgements wait for: the primary's disk, also replicas, or the object store.",
    )
    sync: Sync = Field(
        default=Sync.GROUP,
        description="Before a write is acknowledged: a shared fdatasync; one each interval; or none.",
    )
    storage: Storage = group(Storage, "The volumes of primaries.")
    object_store: ObjectStore | None = Field(
        default=None, description="Where the second copy of the data is: snapshots and the archived log."
    )
    backup: Backup | None = Field(
        default=None, description="How the second copy is kept; it has good defaults."
    )
    primary: Primary = group(Primary, "Pods of primaries.")
    replica: Replica = group(Replica, "Pods of cache replicas.")
    routers: Routers = group(Routers, "Routers: the cluster behind one address.")
    coordinators: Coordinators = group(Coordinators, "Coordinators.")
    takeover: Takeover = group(Takeover, "When a primary is lost.")
    autoscaling: Autoscaling = group(Autoscaling, "Numbers that the operator's autoscaler decides.")
    security: Security = group(Security, "Certificates and who may connect.")
    monitoring: Monitoring = group(Monitoring, "For Prometheus.")
    logs: Logs = group(Logs, "Of all pods.")
    tracing: Tracing = group(Tracing, "OpenTelemetry.")
    hibernate: bool = Field(
        default=False, description="Stop all pods and keep the data; false again starts them."
    )
    deletion_policy: Keep = Field(
        default=Keep.RETAIN,
        description="What becomes of volumes when the AidbCluster is deleted. The object store always stays.",
    )
    bootstrap: Bootstrap | None = Field(
        default=None, description="How the cluster begins; empty when not given."
    )

    @property
    def backup_settings(self) -> Backup:
        return self.backup or Backup()


class ShardCounts(Model):
    wanted: int = Field(default=0, description="How many there should be.")
    current: int = Field(default=0, description="How many the topology has.")
    ready: int = Field(default=0, description="How many have a primary that serves.")


class Counts(Model):
    wanted: int = Field(default=0, description="How many there should be.")
    ready: int = Field(default=0, description="How many are ready.")


class BackupStatus(Model):
    last_snapshot: str | None = Field(
        default=None,
        description="When the oldest of the shards' newest snapshots was taken, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    archive_lag_seconds: int | None = Field(
        default=None, description="How far the archive is behind, the worst of the shards."
    )
    last_verified: str | None = Field(
        default=None,
        description="When all objects were last read and checked, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    last_drill: str | None = Field(
        default=None,
        description="When a restore was last tried and compared, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )


class ClusterStatus(Model):
    observed_generation: int = Field(default=0, description="Of the spec that this speaks of.")
    phase: str | None = Field(
        default=None, description="The conditions in one word, for people; programs read conditions."
    )
    shards: ShardCounts | None = Field(default=None, description="Shards.")
    replicas: Counts | None = Field(default=None, description="Cache replicas of all shards.")
    routers: Counts | None = Field(default=None, description="Routers.")
    coordinators: Counts | None = Field(default=None, description="Coordinators.")
    coordinator: str | None = Field(default=None, description="The pod of the coordinator that leads.")
    endpoint: str | None = Field(default=None, description="Where clients connect, host:port.")
    cluster_uid: str | None = Field(
        default=None, description="Of the data: the object's own uid, unless it was restored."
    )
    topology_version: int | None = Field(default=None, description="Of the topology that was last seen.")
    operation: str | None = Field(
        default=None, description="What the coordinator is changing, and how far it is."
    )
    version: str | None = Field(default=None, description="Of AiDb that the pods run.")
    image: str | None = Field(default=None, description="That the pods run.")
    certificates_until: str | None = Field(
        default=None,
        description="When the first of the certificates ends, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    backup: BackupStatus | None = Field(default=None, description="The second copy.")
    conditions: Conditions = ()


class AidbCluster(Resource):
    """A cluster of AiDb: an elastic key-value store."""

    rules = (
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name is also that of a Service: a letter, then letters, digits and '-'",
        ),
        Rule(
            "!self.metadata.name.endsWith('-nodes') && !self.metadata.name.endsWith('-coordinator')",
            "metadata.name may not end in -nodes or -coordinator: Services of another cluster are named so",
        ),
    )

    api_version: Literal["aidb.io/v1alpha1"] = "aidb.io/v1alpha1"
    kind: Literal["AidbCluster"] = "AidbCluster"
    spec: ClusterSpec = Field(default_factory=ClusterSpec, description="As it should be.")
    status: ClusterStatus = Field(default_factory=ClusterStatus, description="As it was last seen.")

    plural: ClassVar[str] = "aidbclusters"
    name_most: ClassVar[int] = NAME_MOST
