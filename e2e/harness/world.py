"""What a scenario has at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.harness import load
from e2e.harness.cluster import Cluster, small_spec
from e2e.harness.images import Images
from e2e.harness.kubectl import Kubectl, is_ready, until
from e2e.harness.load import Load
from e2e.harness.machine import Machine
from e2e.harness.operator import Operator
from e2e.harness.report import Scenario
from e2e.harness.s3 import S3


@dataclass(frozen=True)
class World:
    """``kubectl``: in the scenario's own namespace. ``safe_node``: where S3 and the clients are."""

    machine: Machine
    images: Images
    s3: S3
    operator: Operator
    kubectl: Kubectl
    safe_node: str
    scenario: Scenario

    def small_cluster(self, name: str = "small", **spec: Any) -> Cluster:
        """Two shards with a replica each, Ready; ``spec`` adds to its spec."""
        cluster = Cluster(self.kubectl, name)
        cluster.create(small_spec(self.images, self.s3, self.kubectl.namespace, **spec))
        cluster.ready()
        return cluster

    def load(
        self, cluster: Cluster, *arguments: str, name: str = "", node: str = ""
    ) -> AbstractContextManager[Load]:
        """A pod of clients, on the safe node unless told otherwise. ``arguments``: of e2e/load."""
        return load.running(
            self.kubectl,
            self.images.node,
            cluster.address,
            node=node or self.safe_node,
            secret=cluster.client_secret,
            name=name or f"load-{cluster.name}",
            arguments=arguments,
        )

    @contextmanager
    def clients(self, cluster: Cluster, *arguments: str) -> Iterator[Load]:
        """Clients at work throughout; in the end what they saw is checked. ``arguments``: of e2e/load."""
        with self.load(cluster, *arguments) as running:
            yield running
            running.flows()
            self.scenario.check(running.stop(), running.parts)

    def replace_pod(self, name: str, seconds: float = 180.0) -> None:
        """Deletes a pod of a StatefulSet, and waits for the next of its name."""
        uid = self.kubectl.get("pod", name)["metadata"]["uid"]
        self.kubectl.delete("pod", name, "--wait=false")

        def replaced() -> bool:
            pod = self.kubectl.get("pod", name)
            return bool(pod["metadata"]["uid"] != uid) and is_ready(pod)

        until(f"another {name}", replaced, seconds)
