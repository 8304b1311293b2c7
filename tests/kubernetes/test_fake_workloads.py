"""The fake controllers and kubelets run real programs as pods: by manifests written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aidb
from tests.coordinator.process import until
from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.kubernetes.workloads import controllers
from tests.kubernetes.workloads.container import Raw

SECONDS = 120.0
pytestmark = pytest.mark.timeout(600)
COORDINATOR = "c-coordinator"


def pod_spec(command: str, *arguments: str, data: Raw | None = None) -> Raw:
    own = ["--health-listen", "0.0.0.0:7403", "--metrics", "0.0.0.0:9400"]
    return {
        "terminationGracePeriodSeconds": 20,
        "containers": [
            {
                "name": "aidb",
                "image": "aidb",
                "command": command.split(),
                "args": [*arguments, *own],
                "env": [
                    {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                    for name, path in (
                        ("POD_NAME", "metadata.name"),
                        ("POD_IP", "status.podIP"),
                        ("NODE_NAME", "spec.nodeName"),
                    )
                ],
                "readinessProbe": {"grpc": {"port": 7403, "service": ""}},
                "livenessProbe": {"grpc": {"port": 7403, "service": "liveness"}},
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/aidb"}],
            }
        ],
        "volumes": [{"name": "data", **data}] if data else [],
    }


def workload(kind: str, name: str, component: str, spec: Raw, **more: Any) -> Raw:
    labels = {"app.kubernetes.io/component": component, "aidb.io/shard": "0"}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **more,
        },
    }


def service(name: str, component: str, port: int, **more: Any) -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "selector": {"app.kubernetes.io/component": component},
            "ports": [{"port": port}],
            **more,
        },
    }


def manifests(namespace: str) -> list[tuple[str, Raw]]:
    node = (
        *("--coordinator", f"{COORDINATOR}.{namespace}.svc:7401"),
        *("--name", "$(POD_NAME)", "--node", "$(NODE_NAME)"),
        *("--listen", "0.0.0.0:7400", "--advertise", "$(POD_IP):7400"),
    )
    primary = (*node, "--shard", "0", "--data", "/var/lib/aidb", "--grace-seconds", "5")
    of_coordinator = ("--data", "/var/lib/aidb", "--listen", "0.0.0.0:7401", "--shards", "1")
    empty: Raw = {"emptyDir": {}}
    claims = [
        {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    ]
    return [
        ("api/v1:services", service(COORDINATOR, "coordinator", 7401, publishNotReadyAddresses=True)),
        ("api/v1:services", service("c", "router", 7400)),
        (
            "apis/apps/v1:deployments",
            workload(
                "Deployment",
                COORDINATOR,
                "coordinator",
                pod_spec("aidb-coordinator", *of_coordinator, data=empty),
            ),
        ),
        (
            "apis/apps/v1:statefulsets",
            workload(
                "StatefulSet",
                "c-0-1",
                "primary",
                pod_spec("aidb-node primary", *primary),
                serviceName="c-nodes",
                volumeClaimTemplates=claims,
            ),
        ),
        (
            "apis/apps/v1:deployments",
            workload("Deployment", "c-router", "router", pod_spec("aidb-node router", *node, data=empty)),
        ),
        (
            "apis/policy/v1:poddisruptionbudgets",
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "c-router"},
                "spec": {
                    "minAvailable": 1,
                    "selector": {"matchLabels": {"app.kubernetes.io/component": "router"}},
                },
            },
        ),
    ]


@pytest.fixture
def cluster(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Iterator[FakeWorkloads]:
    for where, body in manifests(namespace):
        group, plural = where.split(":")
        apiserver.request("POST", f"/{group}/namespaces/{namespace}/{plural}", body)
    with FakeWorkloads(apiserver, namespace, tmp_path) as workloads:
        yield workloads


def ready(workloads: FakeWorkloads, component: str) -> list[Raw]:
    return [pod for pod in workloads.pods(component=component) if controllers.ready(pod)]


def test_a_cluster_by_hand(apiserver: ApiServer, cluster: FakeWorkloads) -> None:
    def all_ready() -> bool:
        return all(ready(cluster, one) for one in ("coordinator", "primary", "router"))

    until(all_ready, SECONDS)
    with aidb.connect(f"{cluster.address('c')}:7400", direct=False) as db:
        db.put(b"key", b"value")
        assert db.get(b"key") == b"value"

        # A crash: the same pod and volume, another process.
        [primary] = ready(cluster, "primary")
        name = primary["metadata"]["name"]
        before = cluster.process_id(name)
        cluster.crash(name)
        until(lambda: cluster.process_id(name) not in (None, before), SECONDS)
        assert until(lambda: db.get(b"key", timeout=60), SECONDS) == b"value"
        [status] = cluster.pod(name)["status"]["containerStatuses"]
        assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 137)

        # A pod that is deleted ends in order, and the next one finds the volume.
        apiserver.kubectl("-n", cluster.namespace, "delete", "pod", name, "--wait=false")
        again = until(lambda: others(ready(cluster, "primary"), primary), SECONDS)
        assert until(lambda: db.get(b"key", timeout=60), SECONDS) == b"value"
        assert again[0]["spec"]["nodeName"] == primary["spec"]["nodeName"], "where its volume is"

    # The only router may not be evicted; with another one it may.
    [router] = ready(cluster, "router")
    with pytest.raises(Refused, match="disruption budget"):
        cluster.evict(router["metadata"]["name"])
    apiserver.kubectl("-n", cluster.namespace, "scale", "deployment", "c-router", "--replicas=2")
    until(lambda: len(ready(cluster, "router")) == 2, SECONDS)
    until(lambda: evicted(cluster, router["metadata"]["name"]), SECONDS)

    # Another template: one more, and then the old ones go.
    apiserver.kubectl(
        "-n", cluster.namespace, "patch", "deployment", "c-router",
        "--patch", '{"spec":{"replicas":1,"template":{"metadata":{"annotations":{"round":"2"}}}}}',
    )  # fmt: skip
    until(lambda: rounds(ready(cluster, "router")) == ["2"], SECONDS)


def others(pods: list[Raw], than: Raw) -> list[Raw]:
    return [pod for pod in pods if pod["metadata"]["uid"] != than["metadata"]["uid"]]


def rounds(pods: list[Raw]) -> list[str]:
    return [pod["metadata"].get("annotations", {}).get("round", "1") for pod in pods]


def evicted(cluster: FakeWorkloads, name: str) -> bool:
    try:
        cluster.evict(name)
    except Refused as refused:
        if refused.code != 429:
            raise
        return False
    return True
