"""Rollouts, hand-overs, retirement, hibernation and deletion: as courses of a small world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aidb_operator.kubernetes import kinds
from aidb_operator.plan import deletion, pod_health, pods, retire
from aidb_operator.plan.outcome import Delete

from tests.operator.world import SPEC, STEP, World

LONG = int(pod_health.PATIENCE / STEP) + 3


@pytest.fixture
def world() -> World:
    made = World().steps(12)
    settled(made)
    return made


def settled(world: World) -> None:
    """Everything is as the spec says."""
    assert world.violations == []
    assert all(world.serves(shard) for shard in range(world.spec["shards"]))
    assert all(not shard.wanted for shard in world.shards.values())
    for component in ("coordinator", "replica", "primary", "router"):
        assert world.images(component) == {world.spec["image"]}
    running = {f"db-{shard.id}-{shard.published}" for shard in world.shards.values()}
    assert {name for kind, name in world.objects if kind is kinds.STATEFUL_SET} == running


def test_an_image_goes_through_in_order(world: World) -> None:
    world.spec["image"] = "aidb:2"
    order: list[str] = []
    for _ in range(60):
        world.step()
        for component in ("coordinator", "replica", "primary", "router"):
            if world.images(component) == {"aidb:2"} and component not in order:
                order.append(component)
    settled(world)
    assert order.index("coordinator") == 0 and order[-1] == "router"
    assert {shard.published for shard in world.shards.values()} == {1}, "it restarts in place"


def test_an_image_that_does_not_work_stops_at_the_first(world: World) -> None:
    world.spec["image"] = "aidb:bad"
    world.steps(60)
    assert world.images("primary") == world.images("replica") == world.images("router") == {"aidb:1"}
    condition = world.condition("Progressing")
    assert (condition.status, condition.reason) == (False, "RolloutStalled")
    assert "pod db-coordinator-0" in condition.message and "CrashLoopBackOff" in condition.message
    world.spec["image"] = "aidb:1"
    world.steps(20)
    settled(world)
    assert world.condition("Progressing") is None


def test_settings_that_break_primaries_break_one(world: World) -> None:
    """What comes first is already as it should be."""
    world.taking_over = False
    world.spec["image"] = "aidb:2"
    for _ in range(20):
        if "aidb:2" not in world.images("primary"):
            world.step()
    assert world.images("primary") == {"aidb:1", "aidb:2"}
    world.spec["image"] = "aidb:bad"
    world.steps(60)
    assert sum(world.serves(shard) for shard in (0, 1)) >= 1
    world.spec["image"] = "aidb:1"
    world.steps(60)
    settled(world)


def test_a_cordoned_node_is_left_shard_by_shard(world: World) -> None:
    for node in sorted({world.node_of(0), world.node_of(1)}):
        world.cordon(node)
    left = {world.node_of(0), world.node_of(1)}
    world.steps(30)
    settled(world)
    assert not left & {world.node_of(0), world.node_of(1)}
    assert {shard.published for shard in world.shards.values()} == {2}


def test_volumes_of_primaries_that_handed_over_go_by_the_policy(world: World) -> None:
    world.cordon(world.node_of(0))
    world.steps(30)
    settled(world)
    old = world.objects[kinds.VOLUME_CLAIM, "data-db-0-1-0"]
    assert "handed over" in old["metadata"]["annotations"]["aidb.io/disposable"]
    world.spec["storage"] = {"reclaimPolicy": "Delete"}
    world.steps(3)
    assert (kinds.VOLUME_CLAIM, "data-db-0-1-0") not in world.objects
    assert (kinds.VOLUME_CLAIM, "data-db-0-2-0") in world.objects


def test_the_volume_of_a_lost_primary_stays_whatever_the_policy_says(world: World) -> None:
    world.spec["storage"] = {"reclaimPolicy": "Delete"}
    lost = world.node_of(0)
    world.power(lost, on=False)
    world.steps(40)
    settled(world)
    assert world.node_of(0) != lost
    claim = world.objects[kinds.VOLUME_CLAIM, "data-db-0-1-0"]
    assert "nobody else has" in claim["metadata"]["annotations"]["aidb.io/kept"]
    assert (kinds.POD, "db-0-1-0") not in world.objects, "its pod is forgotten"
    world.power(lost, on=True)
    world.steps(10)
    settled(world)


def test_a_hand_over_that_finds_no_place_does_not_hold_the_drain_up(world: World) -> None:
    budget = (kinds.BUDGET, "db-0-primary")
    for node in world.nodes:
        world.cordon(node)
    world.steps(6)
    assert budget in world.objects and len([one for one in world.shards.values() if one.wanted]) == 1
    world.steps(LONG)
    assert budget not in world.objects and (kinds.BUDGET, "db-1-primary") not in world.objects
    condition = world.condition("HandOver")
    assert condition.reason == "HandOverStalled" and "no room" in condition.message
    assert all(world.serves(shard) for shard in (0, 1)), "nothing is stopped for it"
    for node in world.nodes:
        world.cordon(node, unschedulable=False)
    world.steps(20)
    settled(world)
    assert budget in world.objects


def test_what_is_no_longer_needed_is_taken_back(world: World) -> None:
    for node in world.nodes:
        world.cordon(node)
    world.steps(6)
    for node in world.nodes:
        world.cordon(node, unschedulable=False)
    world.step()
    assert any(call.startswith("no hand-over") for call in world.calls) or world.steps(10)
    world.steps(20)
    settled(world)


def test_a_hand_over_that_people_asked_for_is_theirs(world: World) -> None:
    for node in world.nodes:
        world.cordon(node)
    world.shards[0] = replace(world.shards[0], wanted=2, planned=True, reason="by hand")
    world.steps(5)
    for node in world.nodes:
        world.cordon(node, unschedulable=False)
    world.steps(30)
    assert world.shards[0].published == 2
    assert not any(call.startswith("no hand-over") for call in world.calls)


def test_a_larger_volume_is_a_hand_over(world: World) -> None:
    world.spec["storage"] = {"size": "20Gi"}
    world.steps(40)
    settled(world)
    assert {shard.published for shard in world.shards.values()} == {2}
    for shard in (0, 1):
        claim = world.objects[kinds.STATEFUL_SET, f"db-{shard}-2"]["spec"]["volumeClaimTemplates"][0]
        assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"


def test_without_an_object_store_nothing_is_handed_over_and_nothing_held_up() -> None:
    world = World({key: value for key, value in SPEC.items() if key != "objectStore"})
    world.taking_over = False
    world.steps(12)
    settled(world)
    assert (kinds.BUDGET, "db-0-primary") not in world.objects
    world.cordon(world.node_of(0))
    world.steps(5)
    settled(world)
    assert world.calls == []
    assert world.condition("HandOver").reason == "HandOverImpossible"


def test_a_shard_that_the_topology_never_had_is_left_alone(world: World) -> None:
    del world.shards[1]
    view = world.view()
    assert view.observed.topology is not None
    unknown = replace(
        view, observed=replace(view.observed, topology=replace(view.observed.topology, next_shard=0))
    )
    told = retire.plan(unknown)
    assert told.actions == [] and [event.reason for event in told.events] == ["UnknownShard"]
    removed = retire.plan(view)
    assert [action.name for action in removed.actions if isinstance(action, Delete)] == ["db-1-1"]


def test_it_hibernates_in_order_and_wakes(world: World) -> None:
    world.spec["hibernate"] = True
    order: list[str] = []
    for _ in range(12):
        world.step()
        for component in ("replica", "router", "coordinator", "primary"):
            if not world.images(component) and component not in order:
                order.append(component)
    assert set(order[:2]) == {"replica", "router"} and order[2:] == ["coordinator", "primary"]
    assert world.condition("Hibernated").status is True
    assert {name for kind, name in world.objects if kind is kinds.VOLUME_CLAIM} == {
        "data-db-0-1-0",
        "data-db-1-1-0",
    }
    world.spec["hibernate"] = False
    world.steps(12)
    settled(world)
    assert world.condition("Hibernated").status is False
    assert {shard.published for shard in world.shards.values()} == {1}


def test_deletion_keeps_data_and_waits_for_nobody(world: World) -> None:
    assert "finalizers" not in world.metadata
    world.metadata["deletionTimestamp"] = world.now.isoformat()
    before = set(world.objects)
    world.steps(3)
    assert set(world.objects) == before and "finalizers" not in world.metadata


@pytest.mark.parametrize("stuck", [False, True])
def test_deletion_that_removes_data_ends(world: World, stuck: bool) -> None:
    world.spec["deletionPolicy"] = "Delete"
    world.steps(2)
    assert world.metadata["finalizers"] == [deletion.FINALIZER]
    if stuck:
        world.power(world.node_of(0), on=False)
    world.metadata["deletionTimestamp"] = world.now.isoformat()
    world.steps(2)
    assert not [name for kind, name in world.objects if kind in (kinds.STATEFUL_SET, kinds.DEPLOYMENT)]
    world.steps(int(deletion.BOUND / STEP) if stuck else 4)
    assert world.metadata["finalizers"] == []
    assert not [name for kind, name in world.objects if kind is kinds.VOLUME_CLAIM]


def test_a_finalizer_goes_when_the_policy_changes(world: World) -> None:
    world.metadata["finalizers"] = ["other"]
    world.spec["deletionPolicy"] = "Delete"
    world.steps(2)
    assert world.metadata["finalizers"] == ["other", deletion.FINALIZER]
    world.spec["deletionPolicy"] = "Retain"
    world.steps(2)
    assert world.metadata["finalizers"] == ["other"]


def test_a_new_operator_restarts_nothing(world: World, monkeypatch: Any) -> None:
    """Its templates differ, what users asked for does not."""
    uids = {pod["metadata"]["uid"] for pod in world.pods()}
    monkeypatch.setattr(pods, "START_SECONDS", 3)
    world.steps(5)
    assert {pod["metadata"]["uid"] for pod in world.pods()} == uids
