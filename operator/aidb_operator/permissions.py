"""What the operator may do: the one list that the chart's roles are made of (`make manifests`).

Server-side apply is `patch`, and `create` where there is nothing yet. What the operator grants to
coordinators it has to hold itself: it may neither `escalate` nor `bind`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

READ = ("get", "list", "watch")
OWN = (*READ, "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Rule:
    """`why`: for whoever reviews the roles."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str

    def raw(self) -> dict[str, Any]:
        return {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs)}


# In the namespaces of the clusters.
NAMESPACED = (
    Rule("aidb.io", ("aidbclusters", "aidbrestores"), (*READ, "patch"), "what is asked for; finalizers"),
    Rule(
        "aidb.io", ("aidbbackups", "aidbbackupschedules"), OWN, "schedules make backups and let old ones go"
    ),
    Rule("aidb.io", ("shardgroups",), OWN, "one a shard"),
    Rule(
        "aidb.io",
        (
            "aidbclusters/status",
            "aidbbackups/status",
            "aidbbackupschedules/status",
            "aidbrestores/status",
            "shardgroups/status",
        ),
        ("patch",),
        "what was seen",
    ),
    Rule(
        "aidb.io",
        (
            "aidbclusters/finalizers",
            "aidbbackups/finalizers",
            "aidbbackupschedules/finalizers",
            "aidbrestores/finalizers",
            "shardgroups/finalizers",
        ),
        ("update",),
        "to own objects, where the API server checks that",
    ),
    Rule("aidb.io", ("shardgroups/scale",), ("get", "patch"), "the autoscaler's numbers"),
    Rule("apps", ("statefulsets", "deployments"), OWN, "primaries; replicas, routers, coordinators"),
    Rule("apps", ("statefulsets/scale", "deployments/scale"), ("get", "patch"), "counts"),
    Rule(
        "",
        ("services", "configmaps", "secrets", "serviceaccounts"),
        OWN,
        "addresses, topology, certificates, identities",
    ),
    Rule("", ("pods",), (*READ, "patch", "delete"), "who is ready; the leader's label, by coordinators"),
    Rule("", ("persistentvolumeclaims",), (*READ, "patch", "delete"), "growth; volumes that nobody needs"),
    Rule("coordination.k8s.io", ("leases",), ("get", "watch", "create", "patch"), "granted to coordinators"),
    Rule("rbac.authorization.k8s.io", ("roles", "rolebindings"), OWN, "of coordinators"),
    Rule("policy", ("poddisruptionbudgets",), OWN, "drains wait for hand-overs"),
    Rule("networking.k8s.io", ("networkpolicies",), OWN, "who may connect"),
    Rule("monitoring.coreos.com", ("servicemonitors",), OWN, "where Prometheus is"),
    Rule("autoscaling", ("horizontalpodautoscalers",), READ, "stepping aside"),
    Rule("events.k8s.io", ("events",), ("create", "patch"), "what was done, and why"),
)

# Of the whole Kubernetes cluster, also when only some namespaces are kept.
CLUSTER_WIDE = (Rule("", ("nodes",), READ, "zones, drains, lost nodes"),)


def document() -> dict[str, list[dict[str, Any]]]:
    """As the chart reads it."""
    return {
        "namespaced": [rule.raw() for rule in NAMESPACED],
        "clusterWide": [rule.raw() for rule in CLUSTER_WIDE],
    }
