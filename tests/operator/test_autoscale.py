"""What the coordinator recommends, carried out: one step at a time, and nothing that is not the spec's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aidb_coordinator.autoscaler.configuration import configured, values
from aidb_coordinator.autoscaler.rules import Rules
from aidb_operator.api.cluster import ClusterSpec
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.plan import autoscale
from aidb_operator.plan.outcome import Call, Desired, View

from aidb.v1 import cluster_pb2 as pb
from tests.operator import views

SPEC: dict[str, Any] = {
    "replicas": 1,
    "autoscaling": {"replicas": {"enabled": True, "max": 5}, "shards": {"enabled": True}},
}


def rules_of(spec: dict[str, Any]) -> Rules:
    return ClusterSpec.model_validate(spec).autoscaling.rules_of_autoscaler()


def said(
    shards: tuple[int, int] = (2, 2), spec: dict[str, Any] = SPEC, **replicas: tuple[int, int]
) -> pb.GetScalingResponse:
    """Numbers as they are and as they should be; of replicas by shard, as `s0`."""
    return pb.GetScalingResponse(
        mode="recommend",
        age_ms=1_000,
        samples=3,
        settings=values(rules_of(spec)),
        shards=pb.Scale(current=shards[0], wanted=shards[1], reasons=["because"]),
        replicas=[
            pb.ReplicaScale(shard=int(name[1:]), scale=pb.Scale(current=now, wanted=then, reasons=["load"]))
            for name, (now, then) in replicas.items()
        ],
    )


def group(shard: int, replicas: int) -> Raw:
    return {
        "apiVersion": "aidb.io/v1alpha1",
        "kind": "ShardGroup",
        "metadata": {"name": f"db-{shard}"},
        "spec": {"cluster": "db", "shard": shard, "replicas": replicas},
    }


def hpa(shard: int) -> Raw:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs"},
        "spec": {"scaleTargetRef": {"kind": "ShardGroup", "name": f"db-{shard}"}},
    }


def view(
    answer: pb.GetScalingResponse,
    *operations: pb.Operation,
    spec: dict[str, Any] = SPEC,
    counts: tuple[int, ...] = (1, 1),
    more: tuple[Raw, ...] = (),
) -> View:
    groups = [group(shard, count) for shard, count in enumerate(counts)]
    known = views.coordination(range(2), operations)
    return views.view(
        spec, [*groups, *more], topology=views.plain(2), coordination=replace(known, scaling=answer)
    )


def scaled(seen: View) -> tuple[str, int | None]:
    (action,) = autoscale.plan(seen).actions
    assert isinstance(action, Desired)
    assert action.only_count
    return action.name, action.replicas


def called(seen: View) -> Any:
    (action,) = autoscale.plan(seen).actions
    assert isinstance(action, Call)
    return action.request


def test_replicas_are_scaled_through_their_shardgroup() -> None:
    assert scaled(view(said(s0=(1, 1), s1=(1, 3)))) == ("db-1", 3)
    assert scaled(view(said(s0=(3, 1)), counts=(3, 1))) == ("db-0", 1)


def test_shards_are_operations_asked_for_by_the_autoscaler() -> None:
    request = called(view(said((2, 4))))
    assert (request.kind, request.count, request.asked_by) == ("add_shard", 2, "autoscaler")
    request = called(view(said((2, 1))))
    assert (request.kind, list(request.shards)) == ("remove_shard", [1])
    assert called(view(said((2, 4)))) == called(view(said((2, 4)))), "a repeated request begins nothing twice"


def test_one_step_at_a_time_growth_first() -> None:
    assert called(view(said((2, 3), s0=(1, 5)))).kind == "add_shard"
    assert scaled(view(said((2, 1), s0=(1, 2)))) == ("db-0", 2)


def test_a_number_that_is_another_by_now_is_left_alone() -> None:
    assert not autoscale.plan(view(said(s0=(1, 3)), counts=(2, 1))).actions


def test_it_steps_aside_for_a_horizontal_pod_autoscaler() -> None:
    assert not autoscale.plan(view(said(s0=(1, 3)), more=(hpa(0),))).actions
    assert scaled(view(said(s0=(1, 3), s1=(1, 2)), more=(hpa(0),))) == ("db-1", 2)


def test_what_is_not_enabled_is_the_specs() -> None:
    only: dict[str, Any] = {"autoscaling": {"shards": {"enabled": True}}}
    assert not autoscale.plan(view(said(spec=only, s0=(1, 3)), spec=only)).actions
    other: dict[str, Any] = {"autoscaling": {"replicas": {"enabled": True}}}
    assert not autoscale.plan(view(said((2, 5), spec=other), spec=other)).actions
    assert not autoscale.plan(view(said((2, 5), s0=(1, 3)), spec={})).actions


def test_nothing_is_begun_beside_an_operation_or_while_a_member_is_away() -> None:
    running = pb.Operation(id="x", kind="rebalance", state="running")
    assert not autoscale.plan(view(said((2, 3)), running)).actions
    seen = view(said((2, 3)))
    assert seen.observed.coordination is not None
    seen.observed.coordination.status.shards[0].state = pb.SHARD_DEGRADED
    assert not autoscale.plan(seen).actions
    failed = pb.Operation(
        id="autoscaler-1",
        kind="add_shard",
        state="failed",
        asked_by="autoscaler",
        changed_ms=int(views.NOW.timestamp() * 1000) - 1_000,
    )
    assert not autoscale.plan(view(said((2, 3)), failed)).actions
    failed.changed_ms -= 400_000
    assert called(view(said((2, 3)), failed)).kind == "add_shard"


def test_without_a_fresh_decision_nothing_happens() -> None:
    old = said(s0=(1, 3))
    old.age_ms = 100_000
    assert not autoscale.plan(view(old)).actions
    none = said()
    none.ClearField("shards")
    assert not autoscale.plan(view(none)).actions


def test_the_rules_of_the_spec_are_made_the_coordinators_first() -> None:
    fresh = said(s0=(1, 3))
    fresh.settings.clear()
    fresh.settings.update(values(Rules()))
    request = called(view(fresh))
    assert request.set["replicas.limits.most"] == "5"
    after = configured(Rules(), dict(request.set))
    assert values(after) == values(rules_of(SPEC)), "then they are, and nothing is left to be set"
    fresh.settings.update(values(after))
    assert scaled(view(fresh)) == ("db-0", 3)
    off = said()
    off.mode = "off"
    assert called(view(off)).mode == "recommend"


def test_a_metric_that_is_not_looked_at_is_none_and_may_be_looked_at_again() -> None:
    spec: dict[str, Any] = {"autoscaling": {"replicas": {"enabled": True, "cpu": {"enabled": False}}}}
    answer = said(spec=SPEC)
    request = called(view(answer, spec=spec))
    assert request.set["replicas.cpu"] == "none"
    again = called(view(said(spec=spec)))
    assert again.set["replicas.cpu"] == "0.2:0.5:0.8"
