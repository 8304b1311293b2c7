"""What may be changed of a stored object, and what may not."""

from __future__ import annotations

from typing import Any

import pytest
from aidb_operator.api.backup import AidbBackup
from aidb_operator.api.backup_schedule import AidbBackupSchedule
from aidb_operator.api.cluster import AidbCluster
from aidb_operator.api.model import Resource
from aidb_operator.api.restore import AidbRestore
from aidb_operator.api.shard_group import ShardGroup

from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.invalid_specs import STORE
from tests.kubernetes.objects import made, path

# The first test of a run waits for the server, which on a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)

MERGE = "application/merge-patch+json"
RECOVERY = {"recovery": {"source": {"url": "s3://bucket/other"}}}

# Title, kind, what the object has beside what it must, the patch of its spec, the field that is to blame.
FORBIDDEN: tuple[tuple[str, type[Resource], dict[str, Any], dict[str, Any], str], ...] = (
    ("a volume shrinks", AidbCluster, {}, {"storage": {"size": "5Gi"}}, "spec.storage.size"),
    (
        "in other units, too",
        AidbCluster,
        {"spec.storage.size": "2Gi"},
        {"storage": {"size": "2047Mi"}},
        "spec.storage.size",
    ),
    (
        "the second copy somewhere else",
        AidbCluster,
        {"spec.objectStore": STORE},
        {"objectStore": {"url": "s3://bucket/elsewhere"}},
        "spec.objectStore.url",
    ),
    (
        "no second copy any more",
        AidbCluster,
        {"spec.objectStore": STORE},
        {"objectStore": None},
        "spec.objectStore",
    ),
    (
        "archived without a store",
        AidbCluster,
        {},
        {"durability": "archived"},
        "spec.objectStore",
    ),
    (
        "the last replica of what replicas keep",
        AidbCluster,
        {"spec.durability": "replica"},
        {"replicas": 0},
        "spec.replicas",
    ),
    ("TLS off", AidbCluster, {}, {"security": {"tls": {"enabled": False}}}, "spec.security.tls.enabled"),
    (
        "TLS on",
        AidbCluster,
        {"spec.security.tls.enabled": False},
        {"security": {"tls": {"enabled": True}}},
        "spec.security.tls.enabled",
    ),
    (
        "a beginning that was not",
        AidbCluster,
        {"spec.objectStore": STORE},
        {"bootstrap": RECOVERY},
        "spec.bootstrap",
    ),
    (
        "another beginning",
        AidbCluster,
        {"spec.objectStore": STORE, "spec.bootstrap": RECOVERY},
        {"bootstrap": {"recovery": {"source": {"url": "s3://bucket/third"}}}},
        "spec.bootstrap",
    ),
    (
        "no beginning",
        AidbCluster,
        {"spec.objectStore": STORE, "spec.bootstrap": RECOVERY},
        {"bootstrap": None},
        "spec.bootstrap",
    ),
    ("another cluster's shard", ShardGroup, {}, {"cluster": "other"}, "spec.cluster"),
    ("another shard", ShardGroup, {}, {"shard": 1}, "spec.shard"),
    ("another cluster's backup", AidbBackup, {}, {"cluster": "other"}, "spec"),
    ("another cluster's schedule", AidbBackupSchedule, {}, {"cluster": "other"}, "spec.cluster"),
    ("a restore of another backup", AidbRestore, {}, {"backup": "two"}, "spec"),
)

ALLOWED: tuple[tuple[str, type[Resource], dict[str, Any], dict[str, Any]], ...] = (
    ("a volume grows", AidbCluster, {}, {"storage": {"size": "20Gi"}}),
    ("the same size in other words", AidbCluster, {}, {"storage": {"size": "10240Mi"}}),
    ("another class", AidbCluster, {}, {"storage": {"className": "faster"}}),
    ("a second copy", AidbCluster, {}, {"objectStore": STORE, "durability": "archived"}),
    (
        "other credentials",
        AidbCluster,
        {"spec.objectStore": STORE},
        {"objectStore": {"credentialsSecret": "new"}},
    ),
    ("other numbers", AidbCluster, {}, {"shards": 5, "replicas": 0, "routers": {"replicas": 0}}),
    ("sleep", AidbCluster, {}, {"hibernate": True}),
    ("certificates of another life", AidbCluster, {}, {"security": {"tls": {"certificateDays": 60}}}),
    ("replicas of a shard", ShardGroup, {}, {"replicas": 7}),
    ("another time", AidbBackupSchedule, {}, {"schedule": "@hourly", "keep": 9}),
)


def store(apiserver: ApiServer, namespace: str, kind: type[Resource], changes: dict[str, Any]) -> str:
    """Where it is."""
    body = made(kind, changes)
    apiserver.request("POST", path(kind, namespace), body)
    return path(kind, namespace, body["metadata"]["name"])


@pytest.mark.parametrize(
    ("kind", "has", "patch", "field"),
    [entry[1:] for entry in FORBIDDEN],
    ids=[entry[0].replace(" ", "-") for entry in FORBIDDEN],
)
def test_forbidden(
    apiserver: ApiServer,
    namespace: str,
    kind: type[Resource],
    has: dict[str, Any],
    patch: dict[str, Any],
    field: str,
) -> None:
    where = store(apiserver, namespace, kind, has)
    with pytest.raises(Refused) as refused:
        apiserver.request("PATCH", where, {"spec": patch}, MERGE)
    assert refused.value.code == 422
    assert f"{field}:" in refused.value.said


@pytest.mark.parametrize(
    ("kind", "has", "patch"),
    [entry[1:] for entry in ALLOWED],
    ids=[entry[0].replace(" ", "-") for entry in ALLOWED],
)
def test_allowed(
    apiserver: ApiServer, namespace: str, kind: type[Resource], has: dict[str, Any], patch: dict[str, Any]
) -> None:
    where = store(apiserver, namespace, kind, has)
    changed = apiserver.request("PATCH", where, {"spec": patch}, MERGE)
    assert changed["metadata"]["generation"] == 2
