"""Shards without a primary because people want it so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_operator import names
from aidb_operator.observed import Shard
from aidb_operator.plan import fences, primary
from aidb_operator.plan.outcome import Call, Desired, View

from aidb.v1 import cluster_pb2 as pb
from tests.operator.views import coordination, topology, view


def seen(annotation: str | None, *fenced: int) -> View:
    shards = (Shard(number, published=1, epoch=1, fenced=number in fenced) for number in range(3))
    made = view({}, (), topology(*shards), coordination(range(3)))
    if annotation is not None:
        made.cluster["metadata"]["annotations"] = {names.FENCED: annotation}
    return made


@pytest.mark.parametrize(
    ("annotation", "fenced", "calls"),
    [
        (None, (), {}),
        ("0,2", (), {0: False, 2: False}),
        (" 0 , 2 ", (0,), {2: False}),
        ("*", (), {0: False, 1: False, 2: False}),
        ("", (1,), {1: True}),
        (None, (1,), {1: True}),
        ("1,7", (1,), {}),
    ],
)
def test_the_topology_follows_the_annotation(
    annotation: str | None, fenced: tuple[int, ...], calls: dict[int, bool]
) -> None:
    outcome = fences.plan(seen(annotation, *fenced))
    requests = [one.request for one in outcome.actions if isinstance(one, Call)]
    assert requests == [pb.FenceShardRequest(shard=shard, unfence=un) for shard, un in calls.items()]


def test_a_list_that_is_none_changes_nothing_and_is_told() -> None:
    outcome = fences.plan(seen("shard 1", 1))
    assert (list(outcome.actions), outcome.conditions[0].reason) == ([], "BadAnnotation")
    silent = seen("0")
    silent = replace(silent, observed=replace(silent.observed, coordination=None))
    assert list(fences.plan(silent).actions) == []


def test_a_primary_is_stopped_when_the_topology_says_so() -> None:
    counts = {
        one.name: one.replicas for one in primary.plan(seen("0,1", 1)).actions if isinstance(one, Desired)
    }
    assert counts == {"db-0-1": 1, "db-1-1": 0, "db-2-1": 1}
