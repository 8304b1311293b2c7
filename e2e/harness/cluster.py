"""An AidbCluster under test."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from e2e.harness.images import Images
from e2e.harness.kubectl import Kubectl, condition, is_ready, until
from e2e.harness.objects import Object
from e2e.harness.s3 import S3

CREDENTIALS = "s3"
READY_SECONDS = 300.0
STORAGE_PORT = 7400


class Cluster:
    """One AidbCluster, by name, in the namespace of ``kubectl``."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self.kubectl = kubectl
        self.name = name

    @property
    def address(self) -> str:
        """As pods reach it."""
        return f"{self.name}.{self.kubectl.namespace}:{STORAGE_PORT}"

    @property
    def client_secret(self) -> str | None:
        """What clients need to connect; None: the cluster is not secured."""
        tls = self.raw()["spec"].get("security", {}).get("tls", {})
        return f"{self.name}-client-tls" if tls.get("enabled", True) else None

    def create(self, spec: Mapping[str, Any]) -> None:
        self.kubectl.apply(
            {
                "apiVersion": "aidb.io/v1alpha1",
                "kind": "AidbCluster",
                "metadata": {"name": self.name},
                "spec": spec,
            }
        )

    def raw(self) -> Object:
        return self.kubectl.get("aidbcluster", self.name)

    def patch(self, spec: Mapping[str, Any]) -> None:
        self.kubectl.patch("aidbcluster", self.name, {"spec": spec})

    def ready(self, seconds: float = READY_SECONDS) -> float:
        """Waits until what is there is what the newest spec asks for; the seconds that it took."""
        begun = time.monotonic()
        until(f"AidbCluster {self.name} Ready", self._is_ready, seconds)
        return time.monotonic() - begun

    def pods(self, component: str, shard: int | None = None) -> list[Object]:
        selector = f"aidb.io/cluster={self.name},app.kubernetes.io/component={component}"
        if shard is not None:
            selector += f",aidb.io/shard={shard}"
        return self.kubectl.items("pods", selector)

    def names(self, component: str, shard: int | None = None) -> list[str]:
        """Of pods that are not about to go."""
        return sorted(
            pod["metadata"]["name"]
            for pod in self.pods(component, shard)
            if "deletionTimestamp" not in pod["metadata"]
        )

    def node_of(self, component: str, shard: int) -> str:
        """Of its first ready pod."""
        return str(next(pod for pod in self.pods(component, shard) if is_ready(pod))["spec"]["nodeName"])

    def replicas_ready(self, shard: int) -> int:
        return sum(map(is_ready, self.pods("replica", shard)))

    def leader(self) -> str:
        """The leading coordinator's pod."""
        lease = self.kubectl.get("lease", f"{self.name}-coordinator")
        return str(lease["spec"]["holderIdentity"])

    def wait_leader(self, other_than: str, seconds: float = 120.0) -> None:
        """Until a coordinator of another name leads."""
        until(f"a leader instead of {other_than}", lambda: self.leader() not in ("", other_than), seconds)

    def images(self) -> set[str]:
        """Of all pods, those that are about to go included."""
        pods = self.kubectl.items("pods", f"aidb.io/cluster={self.name}")
        return {container["image"] for pod in pods for container in pod["spec"]["containers"]}

    def uids(self) -> dict[str, str]:
        """Of all pods, by name."""
        pods = self.kubectl.items("pods", f"aidb.io/cluster={self.name}")
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}

    def shard_groups(self) -> list[Object]:
        return self.kubectl.items("shardgroups", f"aidb.io/cluster={self.name}")

    def wait_shards(self, wanted: int, seconds: float = 2 * READY_SECONDS) -> None:
        """So many shards, each with one Ready primary, and no others."""

        def there() -> bool:
            primaries = self.pods("primary")
            return (
                len(self.shard_groups()) == wanted
                and len(primaries) == wanted
                and all(map(is_ready, primaries))
            )

        until(f"{wanted} shards", there, seconds)

    def wait_replicas(self, wanted: int, seconds: float = READY_SECONDS) -> None:
        """So many Ready replicas of each shard, and no others."""

        def there() -> bool:
            shards = [int(group["spec"]["shard"]) for group in self.shard_groups()]
            pods = {shard: self.pods("replica", shard) for shard in shards}
            return bool(shards) and all(
                len(some) == wanted and all(map(is_ready, some)) for some in pods.values()
            )

        until(f"{wanted} replicas of each shard", there, seconds)

    def _is_ready(self) -> bool:
        raw = self.raw()
        observed = raw.get("status", {}).get("observedGeneration")
        return (
            observed == raw["metadata"]["generation"]
            and condition(raw, "Ready") == "True"
            and condition(raw, "Progressing") != "True"
        )


def small_spec(images: Images, s3: S3, prefix: str, **more: Any) -> Object:
    """Two shards with a replica each, backed up to S3: enough for most scenarios. $E2E_SPEC, JSON, adds to
    it.
    """
    return {
        "image": images.node,
        "imagePullPolicy": "IfNotPresent",
        "shards": 2,
        "replicas": 1,
        "routers": {"replicas": 1},
        "storage": {"size": "1Gi"},
        "objectStore": s3.object_store(prefix, CREDENTIALS),
        **json.loads(os.environ.get("E2E_SPEC", "{}")),
        **more,
    }
