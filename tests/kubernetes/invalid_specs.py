"""Specs that nobody should get away with: what is wrong, and the field that the answer has to name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aidb_operator.api.backup import AidbBackup
from aidb_operator.api.backup_schedule import AidbBackupSchedule
from aidb_operator.api.cluster import AidbCluster
from aidb_operator.api.model import Resource
from aidb_operator.api.restore import AidbRestore
from aidb_operator.api.shard_group import ShardGroup

STORE = {"url": "s3://bucket/demo"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
LONG = "x" * 64


@dataclass(frozen=True)
class Invalid:
    """`changes`: dotted paths below the object, with what is there instead."""

    title: str
    field: str
    changes: dict[str, Any]
    kind: type[Resource] = AidbCluster


def node_affinity(*expressions: dict[str, Any], fields: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}


def spread(**changes: Any) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        **changes,
    }


NAMES = (
    Invalid("a name of which labels get too long", "metadata.name", {"metadata.name": "a" * 41}),
    Invalid("a name that no Service may have", "metadata.name", {"metadata.name": "7up"}),
    Invalid("a name with a dot", "metadata.name", {"metadata.name": "a.b"}),
    Invalid("the name of another cluster's Service", "metadata.name", {"metadata.name": "demo-nodes"}),
    Invalid("and of the other one", "metadata.name", {"metadata.name": "demo-coordinator"}),
    Invalid("no spec", "spec", {"spec": None}),
)

NUMBERS = (
    Invalid("no shard", "spec.shards", {"spec.shards": 0}),
    Invalid("more shards than there may be", "spec.shards", {"spec.shards": 1001}),
    Invalid("half a shard", "spec.shards", {"spec.shards": 1.5}),
    Invalid("a number as text", "spec.shards", {"spec.shards": "3"}),
    Invalid("fewer than no replicas", "spec.replicas", {"spec.replicas": -1}),
    Invalid("a hundred and one replicas", "spec.replicas", {"spec.replicas": 101}),
    Invalid("no coordinator", "spec.coordinators.replicas", {"spec.coordinators.replicas": 0}),
    Invalid("a parliament of coordinators", "spec.coordinators.replicas", {"spec.coordinators.replicas": 6}),
    Invalid("fewer than no routers", "spec.routers.replicas", {"spec.routers.replicas": -1}),
    Invalid("a misspelt field", "shrads", {"spec.shrads": 3}),
    Invalid("a field in the wrong place", "spec.storageSize", {"spec.storageSize": "1Gi"}),
    Invalid("an unknown durability", "spec.durability", {"spec.durability": "quorum"}),
    Invalid("an unknown sync", "spec.sync", {"spec.sync": "always"}),
    Invalid("an unknown deletion policy", "spec.deletionPolicy", {"spec.deletionPolicy": "Keep"}),
    Invalid("hibernate as text", "spec.hibernate", {"spec.hibernate": "yes"}),
    Invalid("an empty image", "spec.image", {"spec.image": ""}),
    Invalid("an image with a blank", "spec.image", {"spec.image": "aidb/node: 1"}),
    Invalid("an unknown pull policy", "spec.imagePullPolicy", {"spec.imagePullPolicy": "Sometimes"}),
    Invalid("a secret with capitals", "spec.imagePullSecrets[0]", {"spec.imagePullSecrets": ["Registry"]}),
)

STORAGE = (
    Invalid("a size that is none", "spec.storage.size", {"spec.storage.size": "ten"}),
    Invalid("a size with a suffix of elsewhere", "spec.storage.size", {"spec.storage.size": "10GB"}),
    Invalid("a size below nothing", "spec.storage.size", {"spec.storage.size": "-1Gi"}),
    Invalid("a size that holds nothing", "spec.storage.size", {"spec.storage.size": "10"}),
    Invalid("a class with capitals", "spec.storage.className", {"spec.storage.className": "Fast"}),
    Invalid("an unknown policy", "spec.storage.reclaimPolicy", {"spec.storage.reclaimPolicy": "Recycle"}),
    Invalid("archived without a store", "spec.objectStore", {"spec.durability": "archived"}),
    Invalid("replica without replicas", "spec.replicas", {"spec.durability": "replica", "spec.replicas": 0}),
    Invalid(
        "replica with an autoscaler that may take the last one",
        "spec.replicas",
        {"spec.durability": "replica", "spec.autoscaling.replicas": {"enabled": True, "min": 0}},
    ),
    Invalid("backups to nowhere", "spec.objectStore", {"spec.backup": {"keep": 3}}),
    Invalid(
        "recovery into nothing",
        "spec.objectStore",
        {"spec.bootstrap.recovery.source.url": "s3://bucket/other"},
    ),
    Invalid("a store without url", "spec.objectStore.url", {"spec.objectStore": {"region": "eu-1"}}),
    Invalid("a store of another kind", "spec.objectStore.url", {"spec.objectStore.url": "gs://bucket/x"}),
    Invalid("a url without bucket", "spec.objectStore.url", {"spec.objectStore.url": "s3://"}),
    Invalid("a bucket of dots", "spec.objectStore.url", {"spec.objectStore.url": "s3://a..b/x"}),
    Invalid("an address as bucket", "spec.objectStore.url", {"spec.objectStore.url": "s3://10.0.0.1/x"}),
    Invalid(
        "a server without scheme",
        "spec.objectStore.endpoint",
        {"spec.objectStore": {**STORE, "endpoint": "minio:9000"}},
    ),
    Invalid(
        "a port beyond the last",
        "spec.objectStore.endpoint",
        {"spec.objectStore": {**STORE, "endpoint": "http://minio:99999"}},
    ),
    Invalid(
        "an authority for a plain server",
        "spec.objectStore.caSecret",
        {"spec.objectStore": {**STORE, "endpoint": "http://minio:9000", "caSecret": "ca"}},
    ),
    Invalid(
        "credentials as text",
        "spec.objectStore.credentialsSecret",
        {"spec.objectStore": {**STORE, "credentialsSecret": "AKIA:secret"}},
    ),
    Invalid(
        "no snapshot kept",
        "spec.backup.keep",
        {"spec.objectStore": STORE, "spec.backup": {"keep": 0}},
    ),
    Invalid(
        "snapshots before the archive",
        "spec.backup.snapshotEverySeconds",
        {
            "spec.objectStore": STORE,
            "spec.backup": {"archiveEverySeconds": 60, "snapshotEverySeconds": 30},
        },
    ),
    Invalid(
        "two sources",
        "spec.bootstrap.recovery",
        {
            "spec.objectStore": STORE,
            "spec.bootstrap.recovery": {"backup": "b", "source": {"url": "s3://bucket/other"}},
        },
    ),
    Invalid(
        "no source",
        "spec.bootstrap.recovery",
        {"spec.objectStore": STORE, "spec.bootstrap.recovery": {}},
    ),
    Invalid(
        "a source with other credentials",
        "spec.bootstrap.recovery.source.credentialsSecret",
        {
            "spec.objectStore": STORE,
            "spec.bootstrap.recovery.source": {"url": "s3://other/x", "credentialsSecret": "others"},
        },
    ),
    Invalid(
        "a time that is none",
        "spec.bootstrap.recovery.time",
        {
            "spec.objectStore": STORE,
            "spec.bootstrap.recovery": {"source": {"url": "s3://bucket/other"}, "time": "yesterday"},
        },
    ),
)

AUTOSCALING = (
    Invalid(
        "min above max",
        "spec.autoscaling.replicas.min",
        {"spec.autoscaling.replicas": {"min": 5, "max": 2}},
    ),
    Invalid(
        "shards from none",
        "spec.autoscaling.shards.min",
        {"spec.autoscaling.shards": {"min": 0}},
    ),
    Invalid(
        "shards: min above max",
        "spec.autoscaling.shards.min",
        {"spec.autoscaling.shards": {"min": 9, "max": 8}},
    ),
    Invalid(
        "a band upside down",
        "spec.autoscaling.replicas.cpu.target",
        {"spec.autoscaling.replicas.cpu": {"low": 80, "target": 50, "high": 90}},
    ),
    Invalid(
        "more than all of a CPU",
        "spec.autoscaling.shards.cpu.high",
        {"spec.autoscaling.shards.cpu": {"high": 200}},
    ),
    Invalid(
        "sizes upside down",
        "spec.autoscaling.shards.bytes.target",
        {"spec.autoscaling.shards.bytes": {"low": "64Gi", "target": "32Gi", "high": "128Gi"}},
    ),
    Invalid(
        "a window of a week",
        "spec.autoscaling.shards.windowSeconds",
        {"spec.autoscaling.shards": {"windowSeconds": 604_800}},
    ),
    Invalid(
        "samples all the time",
        "spec.autoscaling.intervalSeconds",
        {"spec.autoscaling.intervalSeconds": 0},
    ),
)

SECURITY = (
    Invalid(
        "renewed before it is made",
        "spec.security.tls.renewBeforeDays",
        {"spec.security.tls": {"certificateDays": 10, "renewBeforeDays": 10}},
    ),
    Invalid(
        "a certificate for no day",
        "spec.security.tls.certificateDays",
        {"spec.security.tls": {"certificateDays": 0, "renewBeforeDays": 0}},
    ),
    Invalid(
        "a client that is nobody",
        "spec.security.networkPolicy.clients[0]",
        {"spec.security.networkPolicy.clients": [{}]},
    ),
    Invalid(
        "addresses that are none",
        "spec.security.networkPolicy.clients[0].ipBlock.cidr",
        {"spec.security.networkPolicy.clients": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]},
    ),
    Invalid(
        "an exception outside",
        "spec.security.networkPolicy.clients[0].ipBlock.except[0]",
        {
            "spec.security.networkPolicy.clients": [
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}
            ]
        },
    ),
    Invalid(
        "a takeover an hour and more too late",
        "spec.takeover.graceSeconds",
        {"spec.takeover.graceSeconds": 3601},
    ),
    Invalid(
        "a label too long for Prometheus to choose by",
        "spec.monitoring.serviceMonitor.labels",
        {"spec.monitoring.serviceMonitor.labels": {"release": LONG}},
    ),
)

PODS = (
    Invalid(
        "a request above its limit",
        "spec.primary.resources.requests[memory]",
        {"spec.primary.resources": {"requests": {"memory": "4Gi"}, "limits": {"memory": "2Gi"}}},
    ),
    Invalid(
        "memory in thousandths",
        "spec.replica.resources.limits[memory]",
        {"spec.replica.resources.limits": {"memory": "512m"}},
    ),
    Invalid(
        "memory without suffix",
        "spec.routers.resources.limits[memory]",
        {"spec.routers.resources.limits": {"memory": 512}},
    ),
    Invalid(
        "a resource that is none",
        "spec.coordinators.resources.limits[mem]",
        {"spec.coordinators.resources.limits": {"mem": "1Gi"}},
    ),
    Invalid(
        "a quantity that is none",
        "spec.primary.resources.limits.cpu",
        {"spec.primary.resources.limits": {"cpu": "two"}},
    ),
    Invalid(
        "a cache larger than its container",
        "spec.replica.cacheBytes",
        {"spec.replica": {"cacheBytes": "2Gi", "resources": {"limits": {"memory": "1Gi"}}}},
    ),
    Invalid(
        "a budget as large as its container",
        "spec.primary.memoryBytes",
        {"spec.primary": {"memoryBytes": "1Gi", "resources": {"limits": {"memory": "1024Mi"}}}},
    ),
    Invalid(
        "two budgets",
        "spec.primary.memoryBytes",
        {"spec.primary": {"memoryBytes": "1Gi", "cacheBytes": "512Mi"}},
    ),
    Invalid("a cache of bytes", "spec.replica.cacheBytes", {"spec.replica.cacheBytes": "64"}),
    Invalid(
        "the operator's own label",
        "spec.primary.podLabels",
        {"spec.primary.podLabels": {"aidb.io/shard": "7"}},
    ),
    Invalid(
        "Kubernetes' own label",
        "spec.replica.podLabels",
        {"spec.replica.podLabels": {"app.kubernetes.io/name": "other"}},
    ),
    Invalid(
        "the operator's own annotation",
        "spec.routers.podAnnotations",
        {"spec.routers.podAnnotations": {"aidb.io/inputs": "0"}},
    ),
    Invalid(
        "a label with a blank",
        "spec.primary.podLabels",
        {"spec.primary.podLabels": {"team": "key value"}},
    ),
    Invalid(
        "a key with a blank",
        "spec.primary.nodeSelector",
        {"spec.primary.nodeSelector": {"my disk": "ssd"}},
    ),
    Invalid(
        "a key too long",
        f"spec.primary.nodeSelector[{LONG}]",
        {"spec.primary.nodeSelector": {LONG: "ssd"}},
    ),
    Invalid(
        "Exists with a value",
        "spec.primary.tolerations[0].value",
        {"spec.primary.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
    ),
    Invalid(
        "everything is Equal",
        "spec.primary.tolerations[0].operator",
        {"spec.primary.tolerations": [{"operator": "Equal", "value": "b"}]},
    ),
    Invalid(
        "an unknown effect",
        "spec.primary.tolerations[0].effect",
        {"spec.primary.tolerations": [{"key": "a", "effect": "NoRun"}]},
    ),
    Invalid(
        "seconds for what does not evict",
        "spec.primary.tolerations[0].tolerationSeconds",
        {"spec.primary.tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]},
    ),
    Invalid(
        "spread over nothing",
        "spec.primary.topologySpreadConstraints[0].maxSkew",
        {"spec.primary.topologySpreadConstraints": [spread(maxSkew=0)]},
    ),
    Invalid(
        "spread by nothing",
        "spec.primary.topologySpreadConstraints[0].topologyKey",
        {"spec.primary.topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]},
    ),
    Invalid(
        "spread twice",
        "spec.replica.topologySpreadConstraints[1]",
        {"spec.replica.topologySpreadConstraints": [spread(), spread(maxSkew=2)]},
    ),
    Invalid(
        "In nothing",
        f"spec.primary.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values",
        {"spec.primary.affinity": node_affinity({"key": "disk", "operator": "In"})},
    ),
    Invalid(
        "above a word",
        f"spec.primary.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values",
        {"spec.primary.affinity": node_affinity({"key": "disks", "operator": "Gt", "values": ["many"]})},
    ),
    Invalid(
        "a field that nodes cannot be chosen by",
        f"spec.primary.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchFields[0].key",
        {
            "spec.primary.affinity": node_affinity(
                fields=({"key": "spec.unschedulable", "operator": "In", "values": ["false"]},)
            )
        },
    ),
    Invalid(
        "a preference that weighs nothing",
        "spec.routers.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
        {
            "spec.routers.affinity.podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 0, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
                ]
            }
        },
    ),
    Invalid(
        "a class with a blank", "spec.primary.priorityClassName", {"spec.primary.priorityClassName": "a b"}
    ),
)

OTHERS = (
    Invalid("a shard below none", "spec.shard", {"spec.shard": -1, "metadata.name": "demo--1"}, ShardGroup),
    Invalid("a shard of nobody", "spec.cluster", {"spec.cluster": None}, ShardGroup),
    Invalid("a shard under another name", "metadata.name", {"metadata.name": "demo-1"}, ShardGroup),
    Invalid("too many caches of a shard", "spec.replicas", {"spec.replicas": 101}, ShardGroup),
    Invalid("a backup of nobody", "spec.cluster", {"spec.cluster": None}, AidbBackup),
    Invalid("a backup in no time", "spec.deadlineSeconds", {"spec.deadlineSeconds": 1}, AidbBackup),
    Invalid("no schedule", "spec.schedule", {"spec.schedule": ""}, AidbBackupSchedule),
    Invalid("a schedule in words", "spec.schedule", {"spec.schedule": "every night"}, AidbBackupSchedule),
    Invalid("a schedule that keeps nothing", "spec.keep", {"spec.keep": 0}, AidbBackupSchedule),
    Invalid("a schedule's name too long", "metadata.name", {"metadata.name": "a" * 53}, AidbBackupSchedule),
    Invalid("a restore of nobody", "spec.cluster", {"spec.cluster": None}, AidbRestore),
    Invalid("two targets", "spec", {"spec.time": "2026-11-28T12:00:00Z"}, AidbRestore),
    Invalid("an lsn of all", "spec.shards", {"spec.backup": None, "spec.lsn": 7}, AidbRestore),
    Invalid("a zone of nowhere", "spec.timeZone", {"spec.timeZone": "+1 hour"}, AidbBackupSchedule),
    Invalid("replaced", "spec.concurrencyPolicy", {"spec.concurrencyPolicy": "R"}, AidbBackupSchedule),
)

ALL = NAMES + NUMBERS + STORAGE + AUTOSCALING + SECURITY + PODS + OTHERS

VALID: dict[type[Resource], dict[str, Any]] = {
    AidbCluster: {"metadata": {"name": "demo"}, "spec": {}},
    ShardGroup: {"metadata": {"name": "demo-0"}, "spec": {"cluster": "demo", "shard": 0}},
    AidbBackup: {"metadata": {"name": "one"}, "spec": {"cluster": "demo"}},
    AidbBackupSchedule: {
        "metadata": {"name": "nightly"},
        "spec": {"cluster": "demo", "schedule": "0 3 * * *"},
    },
    AidbRestore: {"metadata": {"name": "back"}, "spec": {"cluster": "demo", "backup": "one"}},
}
