"""Kinds of objects that the operator knows, and how each is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aidb_operator.names import API_VERSION

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """There is one object of each. `owned`: the operator makes them; its watch is of those that carry the
    cluster's label alone.
    """

    api_version: str
    name: str
    plural: str
    namespaced: bool = True
    owned: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Of the object, or of the collection."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        parts = [root]
        if self.namespaced:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


CLUSTER = Kind(API_VERSION, "AidbCluster", "aidbclusters", owned=False)
SHARD_GROUP = Kind(API_VERSION, "ShardGroup", "shardgroups")
BACKUP = Kind(API_VERSION, "AidbBackup", "aidbbackups", owned=False)
BACKUP_SCHEDULE = Kind(API_VERSION, "AidbBackupSchedule", "aidbbackupschedules", owned=False)
RESTORE = Kind(API_VERSION, "AidbRestore", "aidbrestores", owned=False)
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
POD = Kind("v1", "Pod", "pods")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
SERVICE_MONITOR = Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", owned=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False, owned=False)
EVENT = Kind("events.k8s.io/v1", "Event", "events", owned=False)

# Everything that is watched; ServiceMonitors where their definition is installed.
WATCHED = (
    CLUSTER,
    SHARD_GROUP,
    BACKUP,
    BACKUP_SCHEDULE,
    RESTORE,
    STATEFUL_SET,
    DEPLOYMENT,
    POD,
    VOLUME_CLAIM,
    SERVICE,
    SECRET,
    CONFIG_MAP,
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    BUDGET,
    NETWORK_POLICY,
    SERVICE_MONITOR,
    AUTOSCALER,
    NODE,
)
# Those that are there when somebody installed their definition: ours have to be, others may.
OWN = (CLUSTER, SHARD_GROUP)
OPTIONAL = (*OWN, BACKUP, BACKUP_SCHEDULE, RESTORE, SERVICE_MONITOR)
_BY_NAME = {(kind.api_version, kind.name): kind for kind in WATCHED}


def kind_of(raw: Raw) -> Kind:
    """Raises KeyError for a kind that the operator does not know."""
    return _BY_NAME[raw["apiVersion"], raw["kind"]]
