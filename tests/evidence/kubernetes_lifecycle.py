"""`make evidence-kubernetes-lifecycle`: a secured cluster's life, on a real API server, with a real S3 server
and real processes for pods, the operator under its own account. While one client writes and reads, the image
changes, another one does not start, a node is drained, a node is lost, volumes grow, and the cluster sleeps
and wakes; at the end it is deleted with its data. Mode `archived`: whatever was acknowledged has to be there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import aidb
from tests.evidence.kubernetes_restores import World
from tests.kubernetes import account
from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.objects import versitygw
from tests.operator.running import client_tls, patch, until

pytestmark = pytest.mark.timeout(3600)
SECONDS = 600.0
KEYS = 64


class Load:
    """Writes and reads; `acknowledged` is what has to be there. An unknown outcome may be either."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.acknowledged: dict[bytes, int] = {}
        self.tried: dict[bytes, int] = {}
        self.wrong: list[str] = []
        self.writes, self.longest = 0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def pause(self) -> float:
        """Seconds of the longest wait for an acknowledgement since this was asked last."""
        longest, self.longest = self.longest, 0.0
        return longest

    def _run(self) -> None:
        last = time.monotonic()
        number = 0
        with self._connect() as client:
            while not self._stop.wait(0.02):
                number += 1
                key = b"key-%d" % (number % KEYS)
                self.tried[key] = number
                try:
                    client.put(key, b"%d" % number, timeout=10)
                    self.acknowledged[key] = number
                    self.writes += 1
                    self.longest = max(self.longest, time.monotonic() - last)
                    last = time.monotonic()
                    self.check(client, key)
                except aidb.AidbError:
                    continue

    def check(self, client: Any, key: bytes) -> None:
        acknowledged = self.acknowledged.get(key, 0)
        found = client.get(key, consistency="strong", timeout=30)
        if not acknowledged <= int(found or 0) <= self.tried[key]:
            self.wrong.append(f"{key!r} is {found!r}, {acknowledged} was acknowledged")


class Secured(World):
    def __init__(
        self, apiserver: ApiServer, namespace: str, running: FakeWorkloads, endpoint: str, folder: Path
    ) -> None:
        super().__init__(apiserver, namespace, running, endpoint)
        self._folder = folder

    def made(self) -> None:
        few = {"routers": {"replicas": 1}, "coordinators": {"replicas": 1}, "replicas": 1, "shards": 2}
        storage = {"size": "1Gi", "reclaimPolicy": "Delete"}
        self.cluster(
            "db",
            security={},
            image="aidb:1",
            durability="archived",
            storage=storage,
            **few,
            takeover={"graceSeconds": 5},
        )
        self.tls = client_tls(self.apiserver, self.namespace, self._folder / "tls")

    def connect(self) -> Any:
        address = f"{self.running.address('db')}:7400"
        return aidb.connect(address, direct=False, timeout=30, tls=self.tls)

    def pods(self, component: str) -> list[Any]:
        return [
            pod
            for pod in self.running.pods(component=component)
            if not pod["metadata"].get("deletionTimestamp")
        ]

    def images(self, component: str) -> set[str]:
        return {pod["spec"]["containers"][0]["image"] for pod in self.pods(component)}

    def runs(self, component: str, image: str) -> bool:
        return self.images(component) == {image}

    def incarnations(self) -> dict[str, str]:
        """Of each shard: those whose primaries are ready."""
        return {
            pod["metadata"]["labels"]["aidb.io/shard"]: pod["metadata"]["labels"]["aidb.io/incarnation"]
            for pod in self.pods("primary")
            if _is_ready(pod)
        }

    def claims(self) -> set[str]:
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        return {one["metadata"]["name"] for one in self.apiserver.request("GET", path)["items"]}

    def is_settled(self, claim: str) -> bool:
        """It is gone; or its pod was evicted before the operator saw how it ended, and it is kept."""
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        found = {
            one["metadata"]["name"]: one["metadata"] for one in self.apiserver.request("GET", path)["items"]
        }
        return claim not in found or "aidb.io/kept" in found[claim].get("annotations", {})

    def condition(self, type: str) -> Any:
        conditions = self.get("AidbCluster", "db").get("status", {}).get("conditions", ())
        return next((one for one in conditions if one["type"] == type), {})

    def node_of(self, shard: int) -> str:
        """Of the primary that serves."""
        pods = [pod for pod in self.pods("primary") if _is_ready(pod)]
        found = next(pod for pod in pods if pod["metadata"]["labels"]["aidb.io/shard"] == str(shard))
        return str(found["spec"]["nodeName"])

    def patch(self, **spec: Any) -> None:
        patch(self.apiserver, self.namespace, **spec)

    def evicted(self, pod: str) -> bool:
        """As `kubectl drain` does: again and again, until the pod is gone."""
        try:
            self.running.evict(pod)
        except Refused as refused:
            if refused.code == 404:
                return True
            assert refused.code == 429, refused
        return False


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    with versitygw.running(versitygw.install(), tmp_path / "s3") as server:
        yield server.endpoint


def test_a_life(apiserver: ApiServer, namespace: str, tmp_path: Path, endpoint: str) -> None:
    with (
        FakeWorkloads(
            apiserver, namespace, tmp_path / "pods", known_image=lambda image: not image.endswith("bad")
        ) as running,
        account.operator(apiserver, namespace, tmp_path),
    ):
        world = Secured(apiserver, namespace, running, endpoint, tmp_path)
        world.made()
        with Load(world.connect) as load:
            until(lambda: load.writes > KEYS, "writes", SECONDS)

            @contextmanager
            def stage(name: str) -> Iterator[None]:
                load.pause()
                began = time.monotonic()
                yield
                # A round of the keys, so that the pause of each shard has ended and is counted here.
                writes = load.writes
                until(lambda: load.writes > writes + KEYS, f"writes after: {name}", SECONDS)
                print(
                    f"{name}: {time.monotonic() - began:.0f} s, longest pause {load.pause():.1f} s",
                    flush=True,
                )
                assert load.wrong == []

            with stage("rolling upgrade"):
                claims = world.claims()
                world.patch(image="aidb:2")
                for component in ("coordinator", "replica", "primary", "router"):
                    until(partial(world.runs, component, "aidb:2"), component, SECONDS)
                until(lambda: world.condition("Ready").get("status") == "True", "ready", SECONDS)
                assert world.claims() == claims

            with stage("an image that does not start, and back"):
                primaries = {pod["metadata"]["uid"] for pod in world.pods("primary")}
                world.patch(image="aidb:bad")
                until(
                    lambda: world.condition("Progressing").get("reason") == "RolloutStalled",
                    "stalled",
                    SECONDS,
                )
                assert "db-coordinator" in world.condition("Progressing")["message"]
                world.patch(image="aidb:2")
                until(
                    lambda: world.condition("Progressing").get("reason") != "RolloutStalled", "back", SECONDS
                )
                assert {pod["metadata"]["uid"] for pod in world.pods("primary")} == primaries

            with stage("drain"):
                drained = world.node_of(0)
                leaving = [
                    p["metadata"]["name"] for p in world.pods("primary") if p["spec"]["nodeName"] == drained
                ]
                running.cordon(drained)
                for pod in leaving:
                    until(partial(world.evicted, pod), f"{pod} is gone", SECONDS)
                until(lambda: len(world.incarnations()) == 2, "both shards serve", SECONDS)
                assert world.incarnations()["0"] == "2" and world.node_of(0) != drained
                until(lambda: world.is_settled("data-db-0-1-0"), "its volume is gone, or kept", SECONDS)
                running.cordon(drained, unschedulable=False)

            with stage("lost node"):
                lost = world.node_of(1)
                before = world.incarnations()["1"]
                running.lose(lost)
                until(lambda: world.incarnations().get("1", before) != before, "taken over", SECONDS)
                running.return_node(lost)
                until(lambda: world.condition("Ready").get("status") == "True", "ready", SECONDS)
                assert f"data-db-1-{before}-0" in world.claims(), "it may hold what nobody else has"

            with stage("larger volumes"):
                before_all = world.incarnations()
                until(lambda: len(world.incarnations()) == 2, "both shards serve", SECONDS)
                world.patch(storage={"size": "2Gi"})
                until(
                    lambda: (
                        len(found := world.incarnations()) == 2
                        and all(found[shard] != before_all.get(shard) for shard in found)
                    ),
                    "both have others",
                    SECONDS,
                )

        print(f"{load.writes} writes", flush=True)
        world.patch(hibernate=True)
        until(lambda: world.condition("Hibernated").get("status") == "True", "asleep", SECONDS)
        assert running.pods(cluster="db") == []
        world.patch(hibernate=False)
        until(lambda: world.condition("Ready").get("status") == "True", "awake", SECONDS)
        with world.connect() as client:
            for key in load.acknowledged:
                load.check(client, key)
        assert load.wrong == []

        world.patch(deletionPolicy="Delete")
        until(lambda: world.get("AidbCluster", "db")["metadata"].get("finalizers"), "a finalizer", SECONDS)
        world.delete("AidbCluster", "db")
        until(lambda: _gone(world), "deleted", SECONDS)
        until(lambda: world.claims() == set(), "no volume is left", SECONDS)


def _is_ready(pod: Any) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ())
    )


def _gone(world: World) -> bool:
    try:
        world.get("AidbCluster", "db")
    except Refused as refused:
        return refused.code == 404
    return False
