"""Whose the number of replicas is: the spec's, the autoscaler's, or a HorizontalPodAutoscaler's."""

from __future__ import annotations

from typing import Any

from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.reconcile import Surroundings, reconcile

from tests.operator.listed import KEY, around


def _scaler(target: str) -> Raw:
    return {
        "apiVersion": kinds.AUTOSCALER.api_version,
        "kind": kinds.AUTOSCALER.name,
        "metadata": {"name": "by-cpu", "namespace": "test", "uid": "hpa"},
        "spec": {"scaleTargetRef": {"kind": "ShardGroup", "name": target}},
    }


def _replicas(surroundings: Surroundings) -> dict[str, Any]:
    found = surroundings.store.of_cluster(KEY)
    counts = {name: raw["spec"].get("replicas") for name, raw in found[kinds.SHARD_GROUP].items()}
    counts |= {
        name: raw["spec"].get("replicas")
        for name, raw in found[kinds.DEPLOYMENT].items()
        if name.endswith("-replica")
    }
    return counts


def _scaled(surroundings: Surroundings, name: str, count: int) -> None:
    """As somebody does it through the scale subresource."""
    group = surroundings.store.of_cluster(KEY)[kinds.SHARD_GROUP][name]
    surroundings.store.put(kinds.SHARD_GROUP, {**group, "spec": {**group["spec"], "replicas": count}})


def _autoscaling(surroundings: Surroundings) -> tuple[str, str]:
    status = surroundings.store.of_cluster(KEY)[kinds.CLUSTER]["db"]["status"]
    found = next(one for one in status["conditions"] if one["type"] == "Autoscaling")
    return found["reason"], found["message"]


def test_the_spec_is_followed_and_a_number_by_hand_is_put_back() -> None:
    _, surroundings = around({"shards": 2, "replicas": 3})
    reconcile(KEY, surroundings)
    assert _replicas(surroundings) == {"db-0": 3, "db-1": 3, "db-0-replica": 3, "db-1-replica": 3}
    _scaled(surroundings, "db-1", 1)
    reconcile(KEY, surroundings)
    assert _replicas(surroundings)["db-1"] == 3


def test_a_horizontal_pod_autoscaler_decides_for_its_shard_alone() -> None:
    listed, surroundings = around({"shards": 2, "replicas": 3})
    reconcile(KEY, surroundings)
    surroundings.store.put(kinds.AUTOSCALER, _scaler("db-1"))
    _scaled(surroundings, "db-1", 5)
    listed.calls.clear()
    reconcile(KEY, surroundings)
    assert ("scale", "ShardGroup", "db-1") not in listed.calls
    assert _replicas(surroundings) == {"db-0": 3, "db-1": 5, "db-0-replica": 3, "db-1-replica": 5}
    assert _autoscaling(surroundings) == ("HorizontalPodAutoscaler", "replicas of shard 1: by-cpu")
    # When it goes, the spec is followed again.
    surroundings.store.remove(kinds.AUTOSCALER, _scaler("db-1"))
    reconcile(KEY, surroundings)
    assert _replicas(surroundings)["db-1"] == _replicas(surroundings)["db-1-replica"] == 3


def test_the_autoscaler_s_number_is_followed_and_the_spec_is_not() -> None:
    listed, surroundings = around(
        {"shards": 1, "replicas": 3, "autoscaling": {"replicas": {"enabled": True}}}
    )
    reconcile(KEY, surroundings)
    assert _replicas(surroundings)["db-0"] == 3
    _scaled(surroundings, "db-0", 7)
    listed.calls.clear()
    reconcile(KEY, surroundings)
    assert ("scale", "ShardGroup", "db-0") not in listed.calls
    assert _replicas(surroundings)["db-0-replica"] == 7
    assert _autoscaling(surroundings)[0] == "Autoscaler"


def test_a_horizontal_pod_autoscaler_of_somebody_else_is_none_of_ours() -> None:
    _, surroundings = around({"shards": 1, "replicas": 2})
    surroundings.store.put(kinds.AUTOSCALER, _scaler("other-db-0"))
    reconcile(KEY, surroundings)
    _scaled(surroundings, "db-0", 5)
    reconcile(KEY, surroundings)
    assert _replicas(surroundings)["db-0"] == 2
