"""One turn, with an API server and a coordinator that are lists."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.reconcile import Surroundings, TurnFailed, reconcile

from aidb import topology_file
from aidb.v1 import cluster_pb2 as pb
from tests.operator import views
from tests.operator.listed import KEY, around


def _status(surroundings: Surroundings) -> Raw:
    cluster = surroundings.store.of_cluster(KEY)[kinds.CLUSTER]["db"]
    conditions = {one["type"]: one for one in cluster["status"]["conditions"]}
    return {**cluster["status"], "conditions": conditions}


def test_a_second_turn_writes_nothing() -> None:
    listed, surroundings = around()
    reconcile(KEY, surroundings)
    assert ("apply", "StatefulSet", "db-0-1") in listed.calls
    # ShardGroups are told of in the turn after the one that made them.
    reconcile(KEY, surroundings)
    listed.calls.clear()
    for _ in range(50):
        reconcile(KEY, surroundings)
    assert listed.calls == []
    assert listed.turns == [False] * 52


def test_what_cannot_be_applied_keeps_nothing_else_back_and_is_told() -> None:
    listed, surroundings = around()
    listed.refuses = "db-router"
    with pytest.raises(TurnFailed, match="not allowed"):
        reconcile(KEY, surroundings)
    assert ("apply", "StatefulSet", "db-0-1") in listed.calls
    degraded = _status(surroundings)["conditions"]["Degraded"]
    assert (degraded["status"], degraded["reason"]) == ("True", "ReconcileFailed")
    assert any(event.reason == "ReconcileFailed" and event.warning for event in listed.events)


def test_a_spec_that_cannot_be_used_changes_nothing_and_names_the_field() -> None:
    listed, surroundings = around(
        {"primary": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}}
    )
    reconcile(KEY, surroundings)
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    valid = _status(surroundings)["conditions"]["Valid"]
    assert valid["status"] == "False"
    assert "spec.primary.resources" in valid["message"]
    assert _status(surroundings)["phase"] == "Invalid"


def test_without_any_image_nothing_is_made() -> None:
    listed, surroundings = around()
    reconcile(KEY, replace(surroundings, image=""))
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    assert "spec.image" in _status(surroundings)["conditions"]["Valid"]["message"]


def test_while_paused_nothing_is_changed() -> None:
    listed, surroundings = around(annotations={names.PAUSED: ""})
    reconcile(KEY, surroundings)
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    assert _status(surroundings)["phase"] == "Paused"


def test_an_unreadable_topology_stops_everything() -> None:
    """Whoever takes it for none would make shards that hold nothing."""
    listed, surroundings = around()
    _put_topology(surroundings, b"{}")
    with pytest.raises(TurnFailed, match="db-topology"):
        reconcile(KEY, surroundings)
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    assert _status(surroundings)["conditions"]["Degraded"]["reason"] == "TopologyUnreadable"


def test_the_topology_says_which_shards_there_are() -> None:
    listed, surroundings = around({"shards": 1})
    shards = [
        pb.Shard(id=2, incarnation=3),
        pb.Shard(id=5, incarnation=1, successor=pb.Successor(incarnation=2, planned=True)),
    ]
    _put_topology(surroundings, topology_file.seal(pb.Topology(cluster_uid="u", version=4, shards=shards), 1))
    reconcile(KEY, surroundings)
    made = {name for verb, kind, name in listed.calls if (verb, kind) == ("apply", "StatefulSet")}
    assert made == {"db-2-3", "db-5-1", "db-5-2"}
    assert _status(surroundings)["clusterUid"] == "u"


def test_a_cluster_that_is_gone_is_left_alone() -> None:
    listed, surroundings = around()
    surroundings.store.remove(kinds.CLUSTER, views.cluster())
    assert reconcile(KEY, surroundings) is None
    assert listed.calls == []


def _put_topology(surroundings: Surroundings, content: bytes) -> None:
    metadata = {"name": "db-topology", "namespace": "test", "uid": "t", "labels": {names.CLUSTER: "db"}}
    data = {"document": base64.b64encode(content).decode()}
    surroundings.store.put(kinds.CONFIG_MAP, {"metadata": metadata, "binaryData": data})


def test_before_everything_is_read_nothing_is_decided() -> None:
    """A topology that is not there may be one that was not read yet."""
    listed, surroundings = around()
    surroundings.store.whole = False
    assert reconcile(KEY, surroundings) is not None
    assert listed.calls == []
