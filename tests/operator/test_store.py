"""What watches have seen: by cluster, whatever order it came in."""

from __future__ import annotations

from typing import Any

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.store import ClusterKey, Store, owner_of
from hypothesis import given
from hypothesis import strategies as st


def _pod(name: str, cluster: str, uid: str = "1", version: str = "1") -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": uid,
        "resourceVersion": version,
        "labels": {names.CLUSTER: cluster},
        "managedFields": [{}],
    }
    return {"metadata": metadata}


def _node(version: str, **changes: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": version}]}
    return {"metadata": {"name": "n", "uid": "n", "resourceVersion": version}, "status": status, **changes}


def test_an_object_that_changes_its_label_goes_to_the_other_cluster() -> None:
    store = Store()
    store.put(kinds.POD, _pod("p", "a"))
    store.put(kinds.POD, _pod("p", "b", version="2"))
    assert not store.of_cluster(ClusterKey("ns", "a"))
    assert list(store.of_cluster(ClusterKey("ns", "b"))[kinds.POD]) == ["p"]


def test_a_late_deletion_does_not_take_the_next_of_that_name() -> None:
    store = Store()
    store.put(kinds.POD, _pod("p", "a", uid="new"))
    store.remove(kinds.POD, _pod("p", "a", uid="old"))
    assert kinds.POD in store.of_cluster(ClusterKey("ns", "a"))
    store.remove(kinds.POD, _pod("p", "a", uid="new"))
    assert not store.of_cluster(ClusterKey("ns", "a"))


def test_heartbeats_of_nodes_wake_nobody() -> None:
    store = Store()
    assert store.put(kinds.NODE, _node("1"))
    assert not store.put(kinds.NODE, _node("2"))
    assert store.put(kinds.NODE, _node("3", spec={"unschedulable": True}))


def test_managed_fields_are_not_kept() -> None:
    store = Store()
    store.put(kinds.POD, _pod("p", "a"))
    assert "managedFields" not in store.of_cluster(ClusterKey("ns", "a"))[kinds.POD]["p"]["metadata"]


def test_whose_an_object_is() -> None:
    scaler = {
        "metadata": {"name": "any", "namespace": "ns"},
        "spec": {"scaleTargetRef": {"kind": "ShardGroup", "name": "my-db-12"}},
    }
    assert owner_of(kinds.AUTOSCALER, scaler) == ClusterKey("ns", "my-db")
    backup = {"metadata": {"name": "b", "namespace": "ns"}, "spec": {"cluster": "my-db"}}
    assert owner_of(kinds.BACKUP, backup) == ClusterKey("ns", "my-db")
    assert owner_of(kinds.NODE, _node("1")) is None


# Whether it is put, name, cluster, uid.
TOLD = st.tuples(st.booleans(), st.sampled_from("pqr"), st.sampled_from("ab"), st.sampled_from("12"))


@given(st.lists(TOLD))
def test_the_store_is_what_was_told_last(told: list[tuple[bool, str, str, str]]) -> None:
    store = Store()
    model: dict[str, tuple[str, str]] = {}
    for put, name, cluster, uid in told:
        if put:
            store.put(kinds.POD, _pod(name, cluster, uid))
            model[name] = cluster, uid
        else:
            store.remove(kinds.POD, _pod(name, cluster, uid))
            if name in model and model[name][1] == uid:
                del model[name]
    for cluster in "ab":
        found = store.of_cluster(ClusterKey("ns", cluster)).get(kinds.POD, {})
        assert set(found) == {name for name, (owner, _) in model.items() if owner == cluster}
