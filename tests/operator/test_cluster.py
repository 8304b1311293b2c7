"""A cluster made by the operator, of real processes: pods are those of the fake workloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aidb
from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.operator.running import client_tls, get, make, operator, patch, until

pytestmark = pytest.mark.timeout(600)
SECONDS = 240.0


def is_(apiserver: ApiServer, namespace: str, type: str, status: str = "True") -> bool:
    conditions = get(apiserver, namespace, "aidbclusters/db").get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == (type, status) for one in conditions)


def shards(apiserver: ApiServer, namespace: str, count: int) -> bool:
    status = get(apiserver, namespace, "aidbclusters/db")["status"]
    settled = {"wanted": count, "current": count, "ready": count}
    return bool(status["shards"] == settled and "operation" not in status)


def replicas(apiserver: ApiServer, namespace: str, count: int) -> bool:
    status = get(apiserver, namespace, "shardgroups/db-0")["status"]
    return bool(status.get("replicas") == status.get("readyReplicas") == count)


def test_a_cluster_is_made_and_grows_and_shrinks(
    apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    small: dict[str, Any] = {"routers": {"replicas": 1}, "coordinators": {"replicas": 1}}
    keys = [b"key-%03d" % number for number in range(200)]
    with FakeWorkloads(apiserver, namespace, tmp_path) as running:
        with operator(apiserver, namespace, resync=1.0):
            make(apiserver, namespace, shards=1, replicas=1, **small)
            until(lambda: is_(apiserver, namespace, "Ready"), "a cluster that is ready", SECONDS)
            until(lambda: replicas(apiserver, namespace, 1), "its replica", SECONDS)
        tls = client_tls(apiserver, namespace, tmp_path / "tls")
        primary = {pod["metadata"]["uid"] for pod in running.pods(component="primary")}
        # Another operator goes on with what is there, and restarts nothing.
        with (
            operator(apiserver, namespace, resync=1.0),
            aidb.connect(f"{running.address('db')}:7400", direct=False, timeout=30, tls=tls) as client,
        ):
            client.put_many([(key, key) for key in keys]).raise_for_errors()
            patch(apiserver, namespace, replicas=2)
            until(lambda: replicas(apiserver, namespace, 2), "two replicas", SECONDS)
            assert {pod["metadata"]["uid"] for pod in running.pods(component="primary")} == primary
            patch(apiserver, namespace, replicas=0)
            until(lambda: replicas(apiserver, namespace, 0), "no replica", SECONDS)
            patch(apiserver, namespace, shards=2)
            until(lambda: shards(apiserver, namespace, 2), "two shards", SECONDS)
            assert [client.get(key) for key in keys] == keys
            patch(apiserver, namespace, shards=1)
            until(lambda: shards(apiserver, namespace, 1), "one shard", SECONDS)
            assert [client.get(key) for key in keys] == keys
            until(
                lambda: len(get(apiserver, namespace, "shardgroups")["items"]) == 1, "one ShardGroup", SECONDS
            )
            assert {pod["metadata"]["uid"] for pod in running.pods(component="primary", shard="0")} == primary
