"""`make evidence-kubernetes-restores`: backups and restores by the operator, on a real API server, with a
real S3 server and real processes for pods. A backup is taken, the cluster is deleted, and another one begins
with it under a new name, in the same bucket; then that one goes back to a time.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aidb
from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.objects import versitygw
from tests.objects.servers import BUCKET
from tests.operator.running import operator, until

pytestmark = pytest.mark.timeout(1800)
SECONDS = 600.0
GROUP = "/apis/aidb.io/v1alpha1/namespaces"
State = dict[bytes, bytes]


class World:
    def __init__(self, apiserver: ApiServer, namespace: str, running: FakeWorkloads, endpoint: str) -> None:
        self.apiserver, self.namespace, self.running = apiserver, namespace, running
        self.store = {"url": f"s3://{BUCKET}/aidb", "endpoint": endpoint, "region": versitygw.REGION}
        self.store["credentialsSecret"] = "s3"
        values = {"access-key": versitygw.ACCESS, "secret-key": versitygw.SECRET}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3"},
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
        }
        apiserver.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body)

    def make(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        body = {"apiVersion": "aidb.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.apiserver.request("POST", self.path(kind), body)

    def path(self, kind: str, name: str = "") -> str:
        return f"{GROUP}/{self.namespace}/{kind.lower()}s{'/' * bool(name)}{name}"

    def get(self, kind: str, name: str) -> Any:
        return self.apiserver.request("GET", self.path(kind, name))

    def annotate(self, cluster: str, annotation: str, value: str) -> None:
        body = {"metadata": {"annotations": {annotation: value}}}
        path = self.path("AidbCluster", cluster)
        self.apiserver.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, kind: str, name: str) -> None:
        self.apiserver.request("DELETE", self.path(kind, name))

    def cluster(self, name: str, **spec: Any) -> None:
        plain = {"tls": {"enabled": False}, "networkPolicy": {"enabled": False}}
        few = {"routers": {"replicas": 1}, "coordinators": {"replicas": 1}, "replicas": 0, "shards": 2}
        self.make("AidbCluster", name, {"security": plain, "objectStore": self.store, **few, **spec})
        self.holds("AidbCluster", name, "Ready")

    def holds(self, kind: str, name: str, type: str) -> Any:
        def look() -> Any:
            found = self.get(kind, name)
            conditions = found.get("status", {}).get("conditions", ())
            said = {one["type"]: one for one in conditions}
            assert said.get("Failed", {}).get("status") != "True", said
            return found if said.get(type, {}).get("status") == "True" else None

        return until(look, f"{kind} {name}: {type}", SECONDS)

    @contextmanager
    def client(self, name: str) -> Iterator[aidb.client.Client]:
        with aidb.connect(f"{self.running.address(name)}:7400", direct=False, timeout=120) as client:
            yield client

    def write(self, name: str, entries: State) -> None:
        with self.client(name) as client:
            for key, value in entries.items():
                client.put(key, value)

    def state(self, name: str) -> State:
        with self.client(name) as client:
            return {entry.key: entry.value for entry in client.scan()}


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    with versitygw.running(versitygw.install(), tmp_path / "s3") as server:
        yield server.endpoint


def entries(prefix: str, count: int) -> State:
    return {f"{prefix}{number:03}".encode(): f"{prefix} {number}".encode() for number in range(count)}


def moment() -> str:
    at = time.time() + 0.6
    until(lambda: time.time() > at + 0.6, "a moment", 10.0)
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_backed_up_deleted_and_restored_under_a_new_name(
    apiserver: ApiServer, namespace: str, tmp_path: Path, endpoint: str
) -> None:
    with (
        FakeWorkloads(apiserver, namespace, tmp_path / "pods") as running,
        operator(apiserver, namespace, resync=2.0),
    ):
        world = World(apiserver, namespace, running, endpoint)
        world.cluster("old")
        first = entries("a", 40)
        world.write("old", first)
        began = time.monotonic()
        world.make("AidbBackup", "b", {"cluster": "old"})
        backup = world.holds("AidbBackup", "b", "Complete")
        print(f"backup complete after {time.monotonic() - began:.1f} s: {backup['status']['bytes']} bytes")
        world.holds("AidbCluster", "old", "BackupHealthy")
        until(lambda: time.time() > datetime.fromisoformat(backup["status"]["time"]).timestamp(), "its time")
        world.write("old", {b"later": b"one"})
        world.delete("AidbCluster", "old")
        until(lambda: not running.pods(), "no pods of the old cluster", SECONDS)

        began = time.monotonic()
        world.cluster("new", bootstrap={"recovery": {"backup": "b"}})
        print(f"restored under a new name, ready after {time.monotonic() - began:.1f} s")
        assert world.state("new") == first
        uid = world.get("AidbCluster", "new")["status"]["clusterUid"]
        assert uid != backup["status"]["clusterUid"]
        world.write("new", second := entries("b", 20))
        then = moment()
        world.write("new", dict.fromkeys(first, b"changed"))

        began = time.monotonic()
        world.make("AidbRestore", "back", {"cluster": "new", "time": then})
        world.holds("AidbRestore", "back", "Complete")
        print(f"back in place after {time.monotonic() - began:.1f} s")
        world.holds("AidbCluster", "new", "Ready")
        assert world.state("new") == first | second
        world.write("new", {b"after": b"the restore"})

        # A shard is fenced: it has no primary and no successor, and is back when it is fenced no more.
        world.annotate("new", "aidb.io/fenced", "1")
        until(lambda: not running.pods(component="primary", shard="1"), "no primary of shard 1", SECONDS)
        world.annotate("new", "aidb.io/fenced", "")
        until(lambda: running.pods(component="primary", shard="1"), "a primary of shard 1", SECONDS)

        # The old backup goes, and with it its finalizer: nobody is left who would collect.
        world.delete("AidbBackup", "b")
        until(lambda: not apiserver.request("GET", world.path("AidbBackup"))["items"], "no backups", SECONDS)
        assert world.state("new") == first | second | {b"after": b"the restore"}
