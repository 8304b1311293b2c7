"""One turn, with an API server and a coordinator that are lists."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aidb_operator import names
from aidb_operator.coordinator import Coordinators
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import ApiError
from aidb_operator.kubernetes.kinds import Kind, Raw, kind_of
from aidb_operator.kubernetes.store import ClusterKey, Store
from aidb_operator.plan.outcome import Event
from aidb_operator.reconcile import Surroundings, TurnFailed, reconcile

from aidb import topology_file
from aidb.v1 import cluster_pb2 as pb
from tests.operator import views

KEY = ClusterKey("test", "db")


@dataclass
class Listed:
    """As the API server: keeps what is applied in the store, and a list of calls."""

    store: Store
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    refuses: str = ""
    events: list[Event] = field(default_factory=list)
    turns: list[bool] = field(default_factory=list)
    _uids: Any = field(default_factory=itertools.count)

    def apply(self, wanted: Raw) -> Raw:
        kind, name = self._noted("apply", kind_of(wanted), wanted["metadata"]["name"])
        found = self._find(kind, name) or {"metadata": {"uid": f"uid-{next(self._uids)}"}}
        made = {**found, **wanted, "metadata": {**found["metadata"], **wanted["metadata"]}}
        if "spec" in found and "replicas" in found["spec"]:
            made["spec"] = {**wanted["spec"], "replicas": found["spec"]["replicas"]}
        self._put(kind, made)
        return made

    def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> None:
        self._noted("scale", kind, name)
        found = self._find(kind, name)
        assert found is not None
        self._put(kind, {**found, "spec": {**found["spec"], "replicas": replicas}})

    def patch(self, kind: Kind, namespace: str, name: str, body: Raw, *, subresource: str = "") -> Raw:
        self._noted(f"patch {subresource}".strip(), kind, name)
        found = self._find(kind, name)
        assert found is not None
        made = {**found, "status": {**found.get("status", {}), **body["status"]}}
        self._put(kind, made)
        return made

    def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, propagation: str = "") -> bool:
        self._noted("delete", kind, name)
        found = self._find(kind, name)
        if found is None or found["metadata"]["uid"] != uid:
            return False
        self.store.remove(kind, found)
        return True

    def post(self, about: Raw, events: list[Event]) -> None:
        self.events += events

    def turn(self, seconds: float, failed: bool) -> None:
        self.turns.append(failed)

    def _noted(self, verb: str, kind: Kind, name: str) -> tuple[Kind, str]:
        if self.refuses and self.refuses == name:
            raise ApiError(f"cannot {verb} {name}", 403, "Forbidden", "not allowed")
        self.calls.append((verb, kind.name, name))
        return kind, name

    def _find(self, kind: Kind, name: str) -> Raw | None:
        return self.store.of_cluster(KEY).get(kind, {}).get(name)

    def _put(self, kind: Kind, raw: Raw) -> None:
        self.store.put(kind, raw)


def _around(spec: Raw | None = None, **metadata: Any) -> tuple[Listed, Surroundings]:
    store = Store()
    store.whole = True
    listed = Listed(store)
    tls = {"security": {"tls": {"enabled": False}, "networkPolicy": {"enabled": False}}}
    store.put(kinds.CLUSTER, views.cluster({"shards": 1, **tls, **(spec or {})}, **metadata))
    around: Any = Surroundings(
        store=store,
        api=listed,  # type: ignore[arg-type]
        coordinators=Coordinators(),
        events=listed,  # type: ignore[arg-type]
        telling=listed,
        available=lambda: frozenset(kinds.WATCHED),
        image=views.IMAGE,
        clock=lambda: views.NOW,
    )
    return listed, around


def _status(around: Surroundings) -> Raw:
    cluster = around.store.of_cluster(KEY)[kinds.CLUSTER]["db"]
    conditions = {one["type"]: one for one in cluster["status"]["conditions"]}
    return {**cluster["status"], "conditions": conditions}


def test_a_second_turn_writes_nothing() -> None:
    listed, around = _around()
    reconcile(KEY, around)
    assert ("apply", "StatefulSet", "db-0-1") in listed.calls
    # ShardGroups are told of in the turn after the one that made them.
    reconcile(KEY, around)
    listed.calls.clear()
    for _ in range(50):
        reconcile(KEY, around)
    assert listed.calls == []
    assert listed.turns == [False] * 52


def test_what_cannot_be_applied_keeps_nothing_else_back_and_is_told() -> None:
    listed, around = _around()
    listed.refuses = "db-router"
    with pytest.raises(TurnFailed, match="not allowed"):
        reconcile(KEY, around)
    assert ("apply", "StatefulSet", "db-0-1") in listed.calls
    degraded = _status(around)["conditions"]["Degraded"]
    assert (degraded["status"], degraded["reason"]) == ("True", "ReconcileFailed")
    assert any(event.reason == "ReconcileFailed" and event.warning for event in listed.events)


def test_a_spec_that_cannot_be_used_changes_nothing_and_names_the_field() -> None:
    listed, around = _around(
        {"primary": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}}
    )
    reconcile(KEY, around)
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    valid = _status(around)["conditions"]["Valid"]
    assert valid["status"] == "False"
    assert "spec.primary.resources" in valid["message"]
    assert _status(around)["phase"] == "Invalid"


def test_without_any_image_nothing_is_made() -> None:
    listed, around = _around()
    reconcile(KEY, replace(around, image=""))
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    assert "spec.image" in _status(around)["conditions"]["Valid"]["message"]


def test_while_paused_nothing_is_changed() -> None:
    listed, around = _around(annotations={names.PAUSED: ""})
    reconcile(KEY, around)
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    assert _status(around)["phase"] == "Paused"


def test_an_unreadable_topology_stops_everything() -> None:
    """Whoever takes it for none would make shards that hold nothing."""
    listed, around = _around()
    _put_topology(around, b"{}")
    with pytest.raises(TurnFailed, match="db-topology"):
        reconcile(KEY, around)
    assert {verb for verb, _, _ in listed.calls} == {"patch status"}
    assert _status(around)["conditions"]["Degraded"]["reason"] == "TopologyUnreadable"


def test_the_topology_says_which_shards_there_are() -> None:
    listed, around = _around({"shards": 1})
    shards = [
        pb.Shard(id=2, incarnation=3),
        pb.Shard(id=5, incarnation=1, successor=pb.Successor(incarnation=2, planned=True)),
    ]
    _put_topology(around, topology_file.seal(pb.Topology(cluster_uid="u", version=4, shards=shards), 1))
    reconcile(KEY, around)
    made = {name for verb, kind, name in listed.calls if (verb, kind) == ("apply", "StatefulSet")}
    assert made == {"db-2-3", "db-5-1", "db-5-2"}
    assert _status(around)["clusterUid"] == "u"


def test_a_cluster_that_is_gone_is_left_alone() -> None:
    listed, around = _around()
    around.store.remove(kinds.CLUSTER, views.cluster())
    assert reconcile(KEY, around) is None
    assert listed.calls == []


def _put_topology(around: Surroundings, content: bytes) -> None:
    metadata = {"name": "db-topology", "namespace": "test", "uid": "t", "labels": {names.CLUSTER: "db"}}
    data = {"document": base64.b64encode(content).decode()}
    around.store.put(kinds.CONFIG_MAP, {"metadata": metadata, "binaryData": data})


def test_before_everything_is_read_nothing_is_decided() -> None:
    """A topology that is not there may be one that was not read yet."""
    listed, around = _around()
    around.store.whole = False
    assert reconcile(KEY, around) is not None
    assert listed.calls == []
