"""The provisioner of a cluster in Kubernetes. The operator runs what the topology says; replicas are what
each shard's ShardGroup says, through its scale subresource, which others may use as well.

So a shard is not asked for here, nor let go: it is in the topology, or it is not. A write is of the version
that was read before it was asked whether this coordinator still leads: one that stood still in between
overwrites nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aidb_coordinator.kubernetes.api import Api, ApiError, NotFound, path_of
from aidb_coordinator.scaling.group_view import COST, DOOMED, ReplicaPod, names
from aidb_coordinator.scaling.provisioner import Provisioner, ProvisionError
from aidb_coordinator.scaling.room import Room
from aidb_coordinator.topology import Topology

GROUP, VERSION, PLURAL = "aidb.io", "v1alpha1", "shardgroups"
SHARD = "aidb.io/shard"
_TIMEOUT = 5.0
# An operation under way looks several times a second.
_SEEN_SECONDS = 5.0


class KubernetesProvisioner(Provisioner):
    """`sizes`: bytes of each shard. `leads`: whether this coordinator still does."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        cluster: str,
        topology: Callable[[], Topology],
        sizes: Callable[[], Mapping[int, int]],
        leads: Callable[[], bool],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._cluster = cluster
        self._topology = topology
        self._sizes = sizes
        self._leads = leads
        self._seen: Mapping[int, tuple[str, ...]] = {}
        self._seen_at = float("-inf")

    def ensure_shard(self, shard: int, replicas: int) -> None:
        """It is about to be in the topology: that is all that the operator needs."""

    def remove_shard(self, shard: int) -> None:
        """It is not in the topology any more."""

    def ensure_replicas(self, shard: int, count: int, without: tuple[str, ...] = ()) -> None:
        name = self._group(shard)
        path = path_of(self._namespace, PLURAL, name, group=GROUP, version=VERSION) + "/scale"
        try:
            scale = self._api.get(path, _TIMEOUT)
            for pod in self._pods().get(shard, ()):
                if pod.name in without and pod.cost > DOOMED:
                    annotations = {"metadata": {"annotations": {COST: str(DOOMED)}}}
                    self._api.merge(path_of(self._namespace, "pods", pod.name), annotations, _TIMEOUT)
            if not self._leads():
                raise ProvisionError(f"ShardGroup {name} is another coordinator's to scale")
            if scale.get("spec", {}).get("replicas", 0) != count:
                version = scale["metadata"]["resourceVersion"]
                body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": count}}
                self._api.merge(path, body, _TIMEOUT)
        except NotFound as error:
            raise ProvisionError(f"the operator has not made ShardGroup {name} yet: {error}") from error
        except ApiError as error:
            raise ProvisionError(f"cannot scale ShardGroup {name}: {error}") from error
        finally:
            self._seen_at = float("-inf")

    def rooms(self) -> Mapping[int, Room]:
        """By what the volumes of primaries were asked for, less what is in them."""
        from kubernetes.utils.quantity import parse_quantity

        try:
            claims = self._list("persistentvolumeclaims", f"aidb.io/cluster={self._cluster}")
        except ProvisionError:
            return {}
        capacities = {
            claim["metadata"]["name"]: int(parse_quantity(claim["status"]["capacity"]["storage"]))
            for claim in claims
            if (claim.get("status") or {}).get("capacity")
        }
        sizes, rooms = self._sizes(), {}
        for shard in self._topology().shards:
            name = f"data-{self._cluster}-{shard.id}-{shard.incarnation}-0"
            if name in capacities:
                rooms[shard.id] = Room(name, max(0, capacities[name] - sizes.get(shard.id, 0)))
        return rooms

    def observe(self) -> Mapping[int, tuple[str, ...]]:
        if time.monotonic() < self._seen_at + _SEEN_SECONDS and self._seen.keys() == self._shards():
            return self._seen
        path = path_of(self._namespace, PLURAL, group=GROUP, version=VERSION)
        groups = self._list_at(path, f"aidb.io/cluster={self._cluster}")
        counts = {group["spec"]["shard"]: group["spec"].get("replicas", 0) for group in groups}
        pods = self._pods()
        # A shard whose ShardGroup is yet to come is there all the same.
        self._seen = {
            shard: names(self._group(shard), counts.get(shard, 0), pods.get(shard, ()))
            for shard in self._shards()
        }
        self._seen_at = time.monotonic()
        return self._seen

    def _shards(self) -> set[int]:
        return {shard.id for shard in self._topology().shards}

    def _group(self, shard: int) -> str:
        return f"{self._cluster}-{shard}"

    def _pods(self) -> Mapping[int, list[ReplicaPod]]:
        """Of replicas, by shard. Raises ProvisionError."""
        selector = f"aidb.io/cluster={self._cluster},app.kubernetes.io/component=replica"
        found: dict[int, list[ReplicaPod]] = {}
        for raw in self._list("pods", selector):
            pod = ReplicaPod.of(raw)
            shard = (raw["metadata"].get("labels") or {}).get(SHARD, "")
            if pod is not None and shard.isdecimal():
                found.setdefault(int(shard), []).append(pod)
        return found

    def _list(self, plural: str, selector: str) -> list[dict[str, Any]]:
        return self._list_at(path_of(self._namespace, plural), selector)

    def _list_at(self, path: str, selector: str) -> list[dict[str, Any]]:
        """Raises ProvisionError."""
        try:
            items: list[dict[str, Any]] = self._api.get(path, _TIMEOUT, labelSelector=selector)["items"]
            return items
        except ApiError as error:
            raise ProvisionError(f"cannot see what there is: {error}") from error
