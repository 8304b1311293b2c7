"""The pure parts of scaling in Kubernetes: names of replicas, members that are gone, who may ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aidb_coordinator.departed import gone, may_be_gone
from aidb_coordinator.scaling.group_view import COST, ReplicaPod, names
from aidb_coordinator.scaling.operation import Kind
from aidb_coordinator.scaling.owners import refusal
from aidb_coordinator.scaling.requests import Request

from tests.coordinator.values import primary, replica, router, topology


def raw(name: str, created: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": created, **more}
    return {"metadata": metadata, "status": {"phase": "Running"}}


def pods(*found: dict[str, Any]) -> list[ReplicaPod]:
    return [pod for pod in map(ReplicaPod.of, found) if pod is not None]


OLD = raw("c-0-replica-z", "2026-01-01T00:00:00Z")
NEW = raw("c-0-replica-a", "2026-01-02T00:00:00Z")
DOOMED = raw("c-0-replica-m", "2025-12-31T00:00:00Z", annotations={COST: "-1000"})
ENDING = raw("c-0-replica-e", "2025-01-01T00:00:00Z", deletionTimestamp="2026-01-02T00:00:00Z")


def test_a_shard_has_as_many_as_its_group_says_oldest_first() -> None:
    assert names("c-0", 2, pods(NEW, OLD)) == ("c-0-replica-z", "c-0-replica-a")
    assert names("c-0", 1, pods(NEW, OLD)) == ("c-0-replica-z",)
    assert names("c-0", 0, pods(NEW, OLD)) == ()


def test_those_that_are_to_go_are_not_counted() -> None:
    assert names("c-0", 2, pods(NEW, OLD, DOOMED)) == ("c-0-replica-z", "c-0-replica-a")
    assert names("c-0", 2, pods(OLD, ENDING, {**NEW, "status": {"phase": "Failed"}}))[0] == "c-0-replica-z"


def test_those_that_are_yet_to_come_are_there_without_a_name() -> None:
    found = names("c-0", 3, pods(OLD))
    assert (found[0], len(set(found))) == ("c-0-replica-z", 3)
    assert all("to come" in name for name in found[1:])


def test_only_who_is_away_and_not_needed_is_forgotten_when_its_pod_is_gone() -> None:
    document = topology(1)
    kept, other = replica(0, 0), replica(0, 1)
    shard = replace(document.shards[0], primary=primary(), replicas=(kept, other), tail_set=(kept.name,))
    document = replace(document, shards=(shard,), routers=(router(),))
    away = [kept.name, other.name, router().name, primary().name]
    assert may_be_gone(document, away) == {other.name, router().name}
    assert gone(document, away, {other.name}) == [router().name]
    assert gone(document, [], set()) == []


@pytest.mark.parametrize(
    ("kind", "who", "says"),
    [
        (Kind.ADD_SHARD, "", '"shards":N'),
        (Kind.REMOVE_SHARD, "root@there", '"shards":N'),
        (Kind.ADD_REPLICA, "", "scale shardgroup c-SHARD"),
        (Kind.REBALANCE, "", ""),
        (Kind.ADD_SHARD, "operator", ""),
        (Kind.ADD_REPLICA, "autoscaler", ""),
    ],
)
def test_people_are_told_where_to_ask(kind: Kind, who: str, says: str) -> None:
    told = refusal(Request("", kind, asked_by=who), "ns", "c")
    assert says in told
    assert bool(told) == bool(says)
