"""A cluster from its creation to its deletion: the operator under its own account, real programs as pods."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from aidb_operator.api.cluster import AidbCluster
from aidb_operator.api.shard_group import ShardGroup

import aidb
from aidb.security.authority import write_private
from tests.coordinator.process import until
from tests.kubernetes import account
from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.kubernetes.objects import made, path

pytestmark = pytest.mark.timeout(900)
SECONDS = 240.0
SMALL = {
    "spec": {
        "shards": 1,
        "replicas": 0,
        "routers": {"replicas": 1},
        "coordinators": {"replicas": 1},
        "storage": {"size": "1Gi"},
    }
}


class Cluster:
    """The AidbCluster `demo`."""

    def __init__(self, apiserver: ApiServer, namespace: str) -> None:
        self._api, self._namespace = apiserver, namespace

    def create(self) -> None:
        self._api.request("POST", path(AidbCluster, self._namespace), made(AidbCluster, SMALL))

    def read(self) -> AidbCluster:
        return AidbCluster.of(self._api.request("GET", path(AidbCluster, self._namespace, "demo")))

    def patch(self, **spec: Any) -> None:
        where = path(AidbCluster, self._namespace, "demo")
        self._api.request("PATCH", where, {"spec": spec}, "application/merge-patch+json")

    def shards(self) -> dict[int, ShardGroup]:
        items = self._api.request("GET", path(ShardGroup, self._namespace))["items"]
        return {one.spec.shard: one for one in map(ShardGroup.of, items)}

    def slots(self) -> dict[int, int | None]:
        return {number: one.status.slots for number, one in self.shards().items()}

    def holds(self, type: str) -> bool:
        """Of the spec as it is now."""
        cluster = self.read()
        return any(
            one.type == type
            and one.status == "True"
            and one.observed_generation == cluster.metadata.generation
            for one in cluster.status.conditions
        )


def test_from_its_creation_to_its_deletion(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    cluster = Cluster(apiserver, namespace)
    with (
        FakeWorkloads(apiserver, namespace, tmp_path) as workloads,
        account.operator(apiserver, namespace, tmp_path),
    ):
        cluster.create()
        until(lambda: cluster.holds("Ready"), SECONDS)
        tls = credentials(apiserver, namespace, tmp_path / "client")
        with aidb.connect(f"{workloads.address('demo')}:7400", tls=tls, direct=False) as db:
            written = {f"key-{number}".encode(): b"%d" % number for number in range(50)}
            for key, value in written.items():
                db.put(key, value)

            cluster.patch(shards=2)
            until(lambda: cluster.slots() == {0: 8192, 1: 8192}, SECONDS)
            until(lambda: cluster.holds("Ready"), SECONDS)
            assert {key: db.get(key, timeout=60) for key in written} == written

        table = apiserver.kubectl("-n", namespace, "get", "aidb,sg")
        assert "demo" in table and "demo-0" in table
        apiserver.kubectl("-n", namespace, "delete", "aidb", "demo", "--wait=false")
        until(lambda: gone(cluster), SECONDS)
        until(lambda: workloads.pods(cluster="demo") == [], SECONDS)
        claims = apiserver.kubectl("-n", namespace, "get", "pvc", "-o", "name").split()
        assert len(claims) == 2, "deletionPolicy Retain"


def credentials(apiserver: ApiServer, namespace: str, folder: Path) -> aidb.Tls:
    """What the operator made for clients."""
    secret = apiserver.request("GET", f"/api/v1/namespaces/{namespace}/secrets/demo-client-tls")
    folder.mkdir(mode=0o700)
    for name, text in secret["data"].items():
        write_private(folder / name, base64.b64decode(text))
    return aidb.Tls(folder, token_file=folder / "token")


def gone(cluster: Cluster) -> bool:
    try:
        cluster.read()
    except Refused as refused:
        return refused.code == 404
    return False
