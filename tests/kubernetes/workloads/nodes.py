"""Machines: Node objects, and which of them a pod goes to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.kubernetes.workloads.controllers import Raw, deleted
from tests.kubernetes.workloads.kubelet import now

SHARD = "aidb.io/shard"
SELECTED = "volume.kubernetes.io/selected-node"


def body(name: str, zone: str) -> Raw:
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def status(ready: bool) -> Raw:
    resources = {"cpu": "64", "memory": "256Gi", "pods": "500"}
    condition = {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "",
        "lastHeartbeatTime": now(),
        "lastTransitionTime": now(),
    }
    return {"status": {"capacity": resources, "allocatable": resources, "conditions": [condition]}}


def chosen(pod: Raw, pods: Iterable[Raw], nodes: Sequence[Raw], bound: str | None) -> str | None:
    """The node that its volume is on, else the one with the fewest pods of its kind; None: it has to wait."""
    usable = [node["metadata"]["name"] for node in nodes if _usable(node)]
    if bound is not None:
        return bound if bound in usable else None
    labels = pod["metadata"]["labels"]
    # Ready or not: where it is counts.
    others = [one for one in pods if not deleted(one)]

    def load(node: str) -> tuple[int, int, str]:
        there = [one for one in others if one["spec"].get("nodeName") == node]
        of_shard = sum(one["metadata"]["labels"].get(SHARD) == labels.get(SHARD) for one in there)
        return of_shard, len(there), node

    return min(usable, key=load, default=None)


def _usable(node: Raw) -> bool:
    found = {one["type"]: one["status"] for one in node.get("status", {}).get("conditions", ())}
    return found.get("Ready") == "True" and not node["spec"].get("unschedulable")
