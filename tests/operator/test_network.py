"""Who may talk to whom: judged as a network plugin does, connection by connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aidb_operator import names
from aidb_operator.plan import network
from aidb_operator.plan.difference import difference
from aidb_operator.plan.network import PROGRAMS
from aidb_operator.plan.outcome import Desired

from tests.operator import views

Labels = Mapping[str, str]
OPERATOR = {"app.kubernetes.io/name": "aidb-operator"}
CLIENT = {"app": "shop"}
CLIENTS = [{"podSelector": {"matchLabels": CLIENT}}]
STORE = {"objectStore": {"url": "s3://bucket/aidb", "endpoint": "http://store:9000"}}


def policies(spec: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    return [action.raw for action in network.plan(views.view(spec)).actions if isinstance(action, Desired)]


def allowed(found: list[dict[str, Any]], who: Labels | None, whom: Labels | None, port: int) -> bool:
    """None is somebody outside of the cluster."""
    return _passes(found, "ingress", whom, who, port) and _passes(found, "egress", who, whom, port)


def _passes(
    found: list[dict[str, Any]], way: str, at: Labels | None, other: Labels | None, port: int
) -> bool:
    """A pod that no policy selects is open; else one of the rules of one that does has to fit."""
    if at is None:
        return True
    specs = [one["spec"] for one in found if _selects(one["spec"]["podSelector"], at)]
    rules = [rule for spec in specs for rule in spec[way]]
    return not specs or any(_fits(rule, "from" if way == "ingress" else "to", other, port) for rule in rules)


def _fits(rule: dict[str, Any], peers: str, other: Labels | None, port: int) -> bool:
    ports = rule.get("ports")
    if ports is not None and all(one["port"] != port for one in ports):
        return False
    return peers not in rule or any(
        other is not None and _selects(peer["podSelector"], other) for peer in rule[peers]
    )


def _selects(selector: dict[str, Any], labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ())
    )


def of(component: names.Component) -> Labels:
    return names.labels("db", component, 0)


NEEDED = [
    ("replica", "primary", 7400),
    ("router", "primary", 7400),
    ("router", "replica", 7400),
    ("primary", "primary", 7400),
    ("primary", "replica", 7400),
    ("primary", "coordinator", 7401),
    ("replica", "coordinator", 7401),
    ("router", "coordinator", 7401),
    ("coordinator", "primary", 7400),
    ("coordinator", "coordinator", 7401),
]


@pytest.mark.parametrize("spec", [{}, {"security": {"networkPolicy": {"clients": CLIENTS}}}])
@pytest.mark.parametrize(("who", "whom", "port"), NEEDED)
def test_programs_reach_each_other(
    who: names.Component, whom: names.Component, port: int, spec: dict[str, Any]
) -> None:
    assert allowed(policies(spec), of(who), of(whom), port)


@pytest.mark.parametrize("component", PROGRAMS)
def test_all_are_probed_and_scraped_and_nothing_else_is_open(component: names.Component) -> None:
    found = policies()
    assert all(allowed(found, CLIENT, of(component), port) for port in (7403, 9400))
    served = 7401 if component == "coordinator" else 7400
    for port in range(7390, 7410):
        assert allowed(found, CLIENT, of(component), port) == (port in (7403, served))


def test_clients_may_be_named() -> None:
    found = policies({"security": {"networkPolicy": {"clients": CLIENTS}}})
    for component in PROGRAMS:
        port = 7401 if component == "coordinator" else 7400
        assert allowed(found, CLIENT, of(component), port)
        assert not allowed(found, {"app": "other"}, of(component), port)
    assert allowed(found, OPERATOR, of("coordinator"), 7401)
    assert not allowed(found, OPERATOR, of("primary"), 7400)


def test_only_primaries_and_coordinators_reach_the_object_store() -> None:
    found = policies(STORE)
    reached = {component for component in PROGRAMS if allowed(found, of(component), None, 9000)}
    assert reached == {"primary", "coordinator"}
    assert not allowed(found, of("primary"), None, 22)
    assert not allowed(policies(), of("primary"), None, 443), "there is no object store"


def test_other_pods_with_the_clusters_label_are_left_alone() -> None:
    job = {names.CLUSTER: "db", "job-name": "report"}
    assert allowed(policies(), job, None, 443)


def test_they_can_be_switched_off() -> None:
    assert policies({"security": {"networkPolicy": {"enabled": False}}}) == []


def test_what_is_there_is_not_written_again() -> None:
    for policy in policies(STORE):
        assert difference(policy, policy) == ""
