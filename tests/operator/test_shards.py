"""The number of shards: one operation at a time, none that nobody wants."""

from __future__ import annotations

from dataclasses import replace

from aidb_operator.plan import shards
from aidb_operator.plan.outcome import Call, Outcome, View

from aidb.v1 import cluster_pb2 as pb
from tests.operator import views


def _view(wanted: int, present: int, *operations: pb.Operation) -> View:
    return views.view(
        {"shards": wanted},
        topology=views.plain(present),
        coordination=views.coordination(range(present), operations),
    )


def _asked(outcome: Outcome) -> pb.StartOperationRequest:
    (action,) = outcome.actions
    assert isinstance(action, Call)
    assert action.method == "StartOperation"
    request: pb.StartOperationRequest = action.request
    return request


def test_as_many_as_wanted_ask_for_nothing() -> None:
    assert not shards.plan(_view(3, 3)).actions


def test_missing_ones_are_added_in_one_operation() -> None:
    request = _asked(shards.plan(_view(5, 3)))
    assert (request.kind, request.count, request.asked_by) == ("add_shard", 2, "operator")


def test_the_youngest_go() -> None:
    request = _asked(shards.plan(_view(1, 3)))
    assert (request.kind, list(request.shards)) == ("remove_shard", [1, 2])


def test_one_operation_at_a_time() -> None:
    for kind in shards.CHANGING:
        for state in ("running", "paused", "cancelling"):
            assert not shards.plan(_view(5, 3, pb.Operation(id="x", kind=kind, state=state))).actions
    assert shards.plan(_view(5, 3, pb.Operation(id="x", kind="add_replica", state="running"))).actions


def test_a_repeated_request_is_the_same_request() -> None:
    assert _asked(shards.plan(_view(5, 3))) == _asked(shards.plan(_view(5, 3)))


def test_without_a_topology_or_a_coordinator_nothing_is_asked() -> None:
    assert not shards.plan(views.view({"shards": 5})).actions
    assert not shards.plan(views.view({"shards": 5}, topology=views.plain(3))).actions


def test_a_status_of_another_topology_is_not_acted_upon() -> None:
    seen = views.view({"shards": 5}, topology=views.plain(3), coordination=views.coordination(range(4)))
    outcome = shards.plan(seen)
    assert not outcome.actions
    assert outcome.again is not None


def test_shards_that_are_being_restored_move_no_slots() -> None:
    there = _view(5, 3)
    assert there.observed.topology is not None
    shard = replace(there.observed.topology.shards[1], recovering=True)
    topology = replace(there.observed.topology, shards={**there.observed.topology.shards, 1: shard})
    outcome = shards.plan(replace(there, observed=replace(there.observed, topology=topology)))
    assert (list(outcome.actions), outcome.again) == ([], 5.0)


def test_the_autoscaler_decides_where_it_is_on() -> None:
    spec = {"shards": 5, "autoscaling": {"shards": {"enabled": True}}}
    seen = views.view(spec, topology=views.plain(3), coordination=views.coordination(range(3)))
    assert not shards.plan(seen).actions


def test_what_somebody_cancelled_is_not_begun_again_before_the_spec_changes() -> None:
    seen = _view(5, 3, pb.Operation(id="operator-1-6", kind="add_shard", state="cancelled"))
    outcome = shards.plan(seen)
    assert not outcome.actions
    assert outcome.conditions[0].reason == "ShardsCancelled"
    changed = {**seen.cluster, "metadata": {**seen.cluster["metadata"], "generation": 2}}
    assert _asked(shards.plan(replace(seen, cluster=changed))).count == 2


def test_what_failed_is_tried_again_after_a_while() -> None:
    failed = int(views.NOW.timestamp() * 1000) - 1000
    operation = pb.Operation(
        id="operator-1-6", kind="add_shard", state="failed", changed_ms=failed, error="no room"
    )
    outcome = shards.plan(_view(5, 3, operation))
    assert not outcome.actions
    assert "no room" in outcome.conditions[0].message
    operation.changed_ms -= int(shards.RETRY * 1000)
    assert _asked(shards.plan(_view(5, 3, operation))).count == 2
