"""What holds for every spec, every topology and every half-done work that the operator finds."""

from __future__ import annotations

import copy
from typing import Any

from aidb_operator import names
from aidb_operator.apply import marked, needs_applying
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw, kind_of
from aidb_operator.observed import Shard, Topology
from aidb_operator.plan import planner
from aidb_operator.plan.outcome import Delete, Desired, View
from aidb_operator.plan.planner import Plan
from aidb_operator.plan.steps import GATES, STEPS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator import views

# Each makes two whole plans.
few = settings(max_examples=20)

Specs = st.fixed_dictionaries(
    {
        "shards": st.integers(1, 4),
        "replicas": st.integers(0, 3),
        "durability": st.sampled_from(["async", "replica", "archived"]),
        "security": st.just({"tls": {"enabled": False}, "networkPolicy": {"enabled": False}}),
        "routers": st.fixed_dictionaries({"replicas": st.integers(0, 3)}),
        "storage": st.fixed_dictionaries({"size": st.sampled_from(["1Gi", "20Gi"])}),
    },
    optional={
        "objectStore": st.just({"url": "s3://bucket/prefix"}),
        "autoscaling": st.just({"replicas": {"enabled": True}}),
        "image": st.sampled_from(["a:1", "a:2"]),
    },
)


@st.composite
def topologies(draw: st.DrawFn) -> Topology | None:
    ids = draw(st.lists(st.integers(0, 6), unique=True, max_size=4))
    if not ids:
        return None
    shards = []
    for number in sorted(ids):
        published = draw(st.integers(1, 3))
        shards.append(Shard(number, published, draw(st.sampled_from([0, published + 1])), epoch=1))
    return views.topology(*shards)


def _plan(spec: dict[str, Any], objects: list[Raw], topology: Topology | None) -> tuple[View, Plan]:
    seen = views.view(spec, objects, topology, nodes={"node-1": "a"})
    return seen, planner.plan(seen, STEPS, GATES)


def _stored(plan: Plan) -> list[Raw]:
    """As the API server keeps it: with a uid, and the count that was set."""
    made = []
    for one in plan.actions:
        if isinstance(one, Desired):
            raw = copy.deepcopy(marked(one))
            raw["metadata"]["uid"] = f"uid-{one.name}"
            if one.replicas is not None:
                raw["spec"]["replicas"] = one.replicas
            made.append(raw)
    return made


@few
@given(Specs, topologies())
def test_what_was_applied_is_not_applied_again(spec: dict[str, Any], topology: Topology | None) -> None:
    _, first = _plan(spec, [], topology)
    stored = _stored(first)
    seen, second = _plan(spec, stored, topology)
    for one in second.actions:
        assert isinstance(one, Desired), one
        existing = seen.observed.get(kind_of(one.raw), one.name)
        assert existing is not None
        assert not needs_applying(one, existing)
        if one.replicas is not None:
            assert existing["spec"]["replicas"] == one.replicas


@few
@given(Specs, Specs, topologies(), topologies())
def test_nothing_that_holds_data_or_is_named_by_the_topology_goes(
    before: dict[str, Any], spec: dict[str, Any], older: Topology | None, topology: Topology | None
) -> None:
    _, first = _plan(before, [], older)
    seen, second = _plan(spec, _stored(first), topology)
    wanted = {(kind_of(one.raw), one.name) for one in second.actions if isinstance(one, Desired)}
    for one in second.actions:
        if not isinstance(one, Delete):
            continue
        assert one.kind not in (kinds.VOLUME_CLAIM, kinds.SECRET)
        if one.kind is kinds.STATEFUL_SET:
            assert one.over is not None and topology is not None and topology.is_over(one.over.place)
            assert one.name == seen.names.primary(*one.over.place)
        assert (one.kind, one.name) not in wanted
        existing = seen.observed.get(one.kind, one.name)
        assert existing is not None
        assert existing["metadata"]["uid"] == one.uid
    if topology is not None:
        places = {(shard.id, number) for shard in topology.shards.values() for number in shard.running}
        made = {name for kind, name in wanted if kind is kinds.STATEFUL_SET}
        assert made == {seen.names.primary(*place) for place in places}


@few
@given(Specs, topologies(), st.data())
def test_what_others_own_is_left_alone(
    spec: dict[str, Any], topology: Topology | None, data: st.DataObject
) -> None:
    _, first = _plan(spec, [], topology)
    stored = _stored(first)
    foreign = data.draw(st.sampled_from([one for one in stored if kind_of(one) is not kinds.STATEFUL_SET]))
    foreign["metadata"] |= {"name": "somebody-elses", "ownerReferences": []}
    _, second = _plan(spec, [foreign], topology)
    assert not [one for one in second.actions if isinstance(one, Delete)]


@few
@given(Specs, topologies())
def test_every_object_carries_its_labels_and_its_owner(
    spec: dict[str, Any], topology: Topology | None
) -> None:
    _, plan = _plan(spec, [], topology)
    for one in plan.actions:
        assert isinstance(one, Desired)
        metadata = one.raw["metadata"]
        assert metadata["labels"][names.CLUSTER] == "db"
        assert metadata["ownerReferences"][0]["uid"] == views.UID
        assert metadata["namespace"] == "test"


@few
@given(Specs, topologies())
def test_another_version_of_the_operator_restarts_nothing(
    spec: dict[str, Any], topology: Topology | None
) -> None:
    """Its templates differ, and its default image; what users may change does not."""
    _, first = _plan(spec, [], topology)
    stored = _stored(first)
    for raw in stored:
        if "template" in raw.get("spec", {}):
            raw["spec"]["template"]["spec"]["containers"][0]["args"].append("--of-the-older-version")
            raw["metadata"]["annotations"][names.APPLIED] = "of-the-older-version"
    seen = views.view(spec, stored, topology, nodes={"node-1": "a"}, image="another:default")
    for one in planner.plan(seen, STEPS, GATES).actions:
        assert isinstance(one, Desired)
        if "template" in one.raw.get("spec", {}):
            existing = seen.observed.get(kind_of(one.raw), one.name)
            assert existing is not None
            assert not needs_applying(one, existing), one.name
