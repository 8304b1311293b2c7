"""The provisioner of Kubernetes against a real API server; the test does what the operator would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aidb_coordinator.kubernetes.api import Api
from aidb_coordinator.scaling.group_view import COST
from aidb_coordinator.scaling.kubernetes import KubernetesProvisioner
from aidb_coordinator.scaling.provisioner import ProvisionError

from tests.coordinator.values import topology
from tests.kubernetes.apiserver import ApiServer

GROUPS = "/apis/aidb.io/v1alpha1/namespaces/{}/shardgroups"


class Place:
    """A cluster of two shards in a namespace."""

    def __init__(self, server: ApiServer, namespace: str, api: Api) -> None:
        self.server = server
        self.namespace = namespace
        self.leads = True
        self.provisioner = KubernetesProvisioner(
            api, namespace, "c", lambda: topology(2), lambda: {0: 1 << 30, 1: 0}, lambda: self.leads
        )

    def group(self, shard: int, replicas: int) -> None:
        labels = {"aidb.io/cluster": "c", "aidb.io/shard": str(shard)}
        body = {
            "apiVersion": "aidb.io/v1alpha1",
            "kind": "ShardGroup",
            "metadata": {"name": f"c-{shard}", "labels": labels},
            "spec": {"cluster": "c", "shard": shard, "replicas": replicas},
        }
        self.server.request("POST", GROUPS.format(self.namespace), body)

    def replicas(self, shard: int) -> int:
        group = self.server.request("GET", GROUPS.format(self.namespace) + f"/c-{shard}")
        count: int = group["spec"]["replicas"]
        return count

    def pod(self, name: str, shard: int) -> None:
        labels = {"aidb.io/cluster": "c", "aidb.io/shard": str(shard)}
        labels["app.kubernetes.io/component"] = "replica"
        body = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "aidb", "image": "none"}]},
        }
        self.server.request("POST", f"/api/v1/namespaces/{self.namespace}/pods", body)

    def read(self, kind: str, name: str) -> Any:
        return self.server.request("GET", f"/api/v1/namespaces/{self.namespace}/{kind}/{name}")


@pytest.fixture
def place(apiserver: ApiServer, namespace: str) -> Iterator[Place]:
    with apiserver.client() as connection:
        api = Api(connection)
        yield Place(apiserver, namespace, api)
        api.close()


def test_replicas_are_what_the_groups_say(place: Place) -> None:
    provisioner = place.provisioner
    with pytest.raises(ProvisionError, match="has not made ShardGroup c-0 yet"):
        provisioner.ensure_replicas(0, 2)
    assert provisioner.observe() == {0: (), 1: ()}
    place.group(0, 1)
    place.group(1, 0)
    place.pod("c-0-replica-a", 0)
    provisioner.ensure_replicas(0, 3)
    assert place.replicas(0) == 3
    seen = provisioner.observe()
    assert (seen[0][0], len(seen[0]), seen[1]) == ("c-0-replica-a", 3, ())


def test_those_named_are_the_cheapest_to_go(place: Place) -> None:
    place.group(0, 2)
    place.pod("c-0-replica-a", 0)
    place.pod("c-0-replica-b", 0)
    place.provisioner.ensure_replicas(0, 1, without=("c-0-replica-a",))
    assert place.replicas(0) == 1
    assert place.read("pods", "c-0-replica-a")["metadata"]["annotations"] == {COST: "-1000"}
    assert place.provisioner.observe()[0] == ("c-0-replica-b",)


def test_who_leads_no_more_scales_nothing(place: Place) -> None:
    place.group(0, 2)
    place.leads = False
    with pytest.raises(ProvisionError, match="another coordinator's"):
        place.provisioner.ensure_replicas(0, 5)
    assert place.replicas(0) == 2


def test_one_that_stood_still_overwrites_nobody(place: Place) -> None:
    place.group(0, 2)

    def meanwhile() -> bool:
        place.server.kubectl("-n", place.namespace, "scale", "shardgroup", "c-0", "--replicas=4")
        return True

    place.provisioner._leads = meanwhile
    with pytest.raises(ProvisionError, match="cannot scale"):
        place.provisioner.ensure_replicas(0, 3)
    assert place.replicas(0) == 4


def test_rooms_are_the_volumes_less_what_is_in_them(place: Place) -> None:
    assert place.provisioner.rooms() == {}
    shard = topology(2).shards[0]
    name = f"data-c-0-{replace(shard).incarnation}-0"
    claims = f"/api/v1/namespaces/{place.namespace}/persistentvolumeclaims"
    claim = {
        "metadata": {"name": name, "labels": {"aidb.io/cluster": "c"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "4Gi"}}},
    }
    place.server.request("POST", claims, claim)
    bound = {"status": {"phase": "Bound", "capacity": {"storage": "4Gi"}}}
    place.server.request("PATCH", f"{claims}/{name}/status", bound, "application/merge-patch+json")
    rooms = place.provisioner.rooms()
    assert {shard: (room.disk, room.free) for shard, room in rooms.items()} == {0: (name, 3 << 30)}
