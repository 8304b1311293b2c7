"""The operator's rights are what it watches, makes and grants, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable

from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind
from aidb_operator.names import Names
from aidb_operator.permissions import CLUSTER_WIDE, NAMESPACED, Rule
from aidb_operator.plan import coordinator

# Made by the operator itself; the others among what it owns are made by Kubernetes.
MADE_BY_KUBERNETES = {kinds.POD, kinds.VOLUME_CLAIM}


def _verbs(rules: Iterable[Rule], group: str, resource: str) -> set[str]:
    return {
        verb for rule in rules if rule.group == group and resource in rule.resources for verb in rule.verbs
    }


def _of(kind: Kind) -> set[str]:
    return _verbs(NAMESPACED if kind.namespaced else CLUSTER_WIDE, kind.group, kind.plural)


def test_what_is_watched_may_be_listed_and_watched() -> None:
    for kind in kinds.WATCHED:
        assert {"list", "watch"} <= _of(kind), kind.plural


def test_what_it_makes_it_may_make_change_and_delete() -> None:
    for kind in kinds.WATCHED:
        if kind.owned and kind not in MADE_BY_KUBERNETES:
            assert {"create", "patch", "delete"} <= _of(kind), kind.plural
    assert "create" not in _of(kinds.POD) | _of(kinds.VOLUME_CLAIM)
    assert _of(kinds.NODE) == {"get", "list", "watch"}
    assert _of(kinds.AUTOSCALER) == {"get", "list", "watch"}


def test_what_it_grants_it_has() -> None:
    """Else the API server refuses the Role: nobody gives away what he has not."""
    for rule in coordinator.rules(Names("demo")):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert set(rule["verbs"]) <= _verbs(NAMESPACED, group, resource), resource


def test_nothing_is_granted_that_nobody_knows() -> None:
    granted_on = {("coordination.k8s.io", "leases"), ("events.k8s.io", "events")}
    known = {(kind.group, kind.plural) for kind in kinds.WATCHED} | granted_on
    for rule in (*NAMESPACED, *CLUSTER_WIDE):
        assert rule.why
        assert "*" not in (rule.group, *rule.resources, *rule.verbs)
        assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule.verbs)
        for resource in rule.resources:
            assert (rule.group, resource.partition("/")[0]) in known, resource
    resources = [(rule.group, resource) for rule in NAMESPACED for resource in rule.resources]
    assert len(resources) == len(set(resources))
