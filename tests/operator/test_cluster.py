"""A cluster made by the operator, of real processes: pods are those of the fake workloads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def workloads(apiserver: ApiServer, namespace: str, folder: Path) -> Iterator[FakeWorkloads]:
    with FakeWorkloads(apiserver, namespace, folder) as running:
        yield running


def test_a_cluster_is_made_and_scaled(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    small: dict[str, Any] = {"routers": {"replicas": 1}, "coordinators": {"replicas": 1}}
    with workloads(apiserver, namespace, tmp_path) as running:
        with operator(apiserver, namespace, resync=1.0):
            make(apiserver, namespace, shards=1, replicas=1, **small)
            until(lambda: is_(apiserver, namespace, "Ready"), "a cluster that is ready", SECONDS)
            until(
                lambda: get(apiserver, namespace, "shardgroups/db-0")["status"].get("readyReplicas") == 1,
                "its replica",
                SECONDS,
            )
            address = f"{running.address('db')}:7400"
            tls = client_tls(apiserver, namespace, tmp_path / "tls")
            with aidb.connect(address, direct=False, timeout=30, tls=tls) as client:
                client.put(b"k", b"v")
                assert client.get(b"k") == b"v"
            patch(apiserver, namespace, replicas=2)
            until(
                lambda: get(apiserver, namespace, "shardgroups/db-0")["status"].get("readyReplicas") == 2,
                "two replicas",
                SECONDS,
            )
        # Another operator goes on with what is there, and restarts nothing.
        before = {pod["metadata"]["uid"] for pod in running.pods(component="primary")}
        with operator(apiserver, namespace, resync=1.0):
            patch(apiserver, namespace, replicas=0)
            until(
                lambda: get(apiserver, namespace, "shardgroups/db-0")["status"].get("replicas") == 0,
                "no replicas",
                SECONDS,
            )
            until(lambda: is_(apiserver, namespace, "Ready"), "still ready", SECONDS)
        assert {pod["metadata"]["uid"] for pod in running.pods(component="primary")} == before
