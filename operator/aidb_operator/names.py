"""Names, labels, annotations and ports of what a cluster has in Kubernetes: here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GROUP = "aidb.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "aidb-operator"

Component = Literal["primary", "replica", "router", "coordinator"]

# Labels.
CLUSTER = f"{GROUP}/cluster"
SHARD = f"{GROUP}/shard"
INCARNATION = f"{GROUP}/incarnation"
LEADER = f"{GROUP}/leader"
COMPONENT = "app.kubernetes.io/component"
ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"

# Annotations.
PAUSED = f"{GROUP}/paused"
FENCED = f"{GROUP}/fenced"
INPUTS = f"{GROUP}/inputs"
APPLIED = f"{GROUP}/applied"

# Ports. Health is plain gRPC and nothing else: a kubelet's probes cannot do TLS.
STORAGE_PORT = 7400
COORDINATOR_PORT = 7401
HEALTH_PORT = 7403
METRICS_PORT = 9400


@dataclass(frozen=True, slots=True)
class Names:
    """Of the objects of one cluster, all in its namespace."""

    cluster: str

    @property
    def topology(self) -> str:
        return f"{self.cluster}-topology"

    @property
    def operations(self) -> str:
        return f"{self.cluster}-operations"

    @property
    def autoscaler(self) -> str:
        return f"{self.cluster}-autoscaler"

    @property
    def zones(self) -> str:
        return f"{self.cluster}-zones"

    @property
    def coordinator(self) -> str:
        """Deployment, Service, PodDisruptionBudget, ServiceAccount, Role, RoleBinding, and the Lease."""
        return f"{self.cluster}-coordinator"

    @property
    def nodes(self) -> str:
        """The headless Service of primaries and replicas, and the ServiceAccount of all nodes."""
        return f"{self.cluster}-nodes"

    @property
    def router(self) -> str:
        return f"{self.cluster}-router"

    @property
    def endpoint(self) -> str:
        """The Service that clients use."""
        return self.cluster

    @property
    def authority(self) -> str:
        return f"{self.cluster}-ca"

    @property
    def node_tls(self) -> str:
        return f"{self.cluster}-node-tls"

    @property
    def coordinator_tls(self) -> str:
        return f"{self.cluster}-coordinator-tls"

    @property
    def client_tls(self) -> str:
        return f"{self.cluster}-client-tls"

    @property
    def tokens(self) -> str:
        return f"{self.cluster}-tokens"

    def shard(self, shard: int) -> str:
        """The ShardGroup."""
        return f"{self.cluster}-{shard}"

    def primary(self, shard: int, incarnation: int) -> str:
        """The StatefulSet of one."""
        return f"{self.cluster}-{shard}-{incarnation}"

    def primary_pod(self, shard: int, incarnation: int) -> str:
        return f"{self.primary(shard, incarnation)}-0"

    def volume(self, shard: int, incarnation: int) -> str:
        """The PersistentVolumeClaim of a primary."""
        return f"data-{self.primary_pod(shard, incarnation)}"

    def primary_budget(self, shard: int) -> str:
        """The PodDisruptionBudget over all incarnations of a shard's primary."""
        return f"{self.cluster}-{shard}-primary"

    def replica(self, shard: int) -> str:
        """Deployment and PodDisruptionBudget."""
        return f"{self.cluster}-{shard}-replica"


def selector(cluster: str, component: Component, shard: int | None = None) -> dict[str, str]:
    """What selects the pods of a component; immutable in workloads, so never added to."""
    labels = {CLUSTER: cluster, COMPONENT: component}
    return labels if shard is None else {**labels, SHARD: str(shard)}


def labels(
    cluster: str,
    component: Component | None = None,
    shard: int | None = None,
    incarnation: int | None = None,
) -> dict[str, str]:
    """Of an object of a cluster."""
    found = {
        "app.kubernetes.io/name": "aidb",
        "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        CLUSTER: cluster,
    }
    if component is not None:
        found[COMPONENT] = component
    if shard is not None:
        found[SHARD] = str(shard)
    if incarnation is not None:
        found[INCARNATION] = str(incarnation)
    return found


def number(labels: Mapping[str, str], name: str) -> int | None:
    """A label that is a number; None where it is absent or none."""
    text = labels.get(name, "")
    return int(text) if text.isdecimal() else None
