"""The operator may die between any two calls: the next one comes to the same end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.reconcile import Surroundings, reconcile

from tests.operator.listed import KEY, Listed, around


class Died(BaseException):
    """Not an Exception: nothing in a turn may take it for a refusal."""


class Dying(Listed):
    """Ends the turn before its call number `left`."""

    left = 1 << 30

    def noted(self, verb: str, kind: Kind, name: str) -> tuple[Kind, str]:
        if self.left == 0:
            raise Died
        self.left -= 1
        return super().noted(verb, kind, name)


def _settled(surroundings: Surroundings) -> dict[Kind, dict[str, Any]]:
    """What there is in the end; nobody's uid is compared."""
    for _ in range(5):
        reconcile(KEY, surroundings)
    found = surroundings.store.of_cluster(KEY)
    return {
        kind: {name: _compared(raw) for name, raw in objects.items()}
        for kind, objects in found.items()
        if kind not in (kinds.CLUSTER, kinds.SECRET)
    }


def _compared(raw: Raw) -> Raw:
    metadata = {name: value for name, value in raw["metadata"].items() if name != "uid"}
    return {**raw, "metadata": metadata}


def _changed(change: Callable[[Raw], None]) -> None:
    """Dies at each call of the turns after `change`, which is made to a settled cluster."""
    listed, undisturbed = around({"shards": 2, "replicas": 2})
    _settled(undisturbed)
    _edit(undisturbed, change)
    listed.calls.clear()
    wanted = _settled(undisturbed)
    most = len(listed.calls)
    assert most > 0
    for left in range(most):
        dying, surroundings = around({"shards": 2, "replicas": 2}, kind=Dying)
        assert isinstance(dying, Dying)
        _settled(surroundings)
        _edit(surroundings, change)
        dying.left = left
        try:
            for _ in range(5):
                reconcile(KEY, surroundings)
        except Died:
            pass
        dying.left = 1 << 30
        assert _settled(surroundings) == wanted, f"died before call {left + 1} of {most}"


def _edit(surroundings: Surroundings, change: Callable[[Raw], None]) -> None:
    cluster = surroundings.store.of_cluster(KEY)[kinds.CLUSTER]["db"]
    changed = {**cluster, "spec": dict(cluster["spec"])}
    change(changed["spec"])
    changed["metadata"] = {**cluster["metadata"], "generation": 2}
    surroundings.store.put(kinds.CLUSTER, changed)


def test_while_a_cluster_is_made() -> None:
    listed, undisturbed = around({"shards": 2, "replicas": 2})
    wanted = _settled(undisturbed)
    most = len(listed.calls)
    for left in range(most):
        dying, surroundings = around({"shards": 2, "replicas": 2}, kind=Dying)
        assert isinstance(dying, Dying)
        dying.left = left
        try:
            for _ in range(5):
                reconcile(KEY, surroundings)
        except Died:
            pass
        dying.left = 1 << 30
        assert _settled(surroundings) == wanted, f"died before call {left + 1} of {most}"


def test_while_replicas_are_added_and_taken_away() -> None:
    _changed(lambda spec: spec.update(replicas=4))
    _changed(lambda spec: spec.update(replicas=0))


def test_while_routers_go() -> None:
    _changed(lambda spec: spec.update(routers={"replicas": 0}))


def test_while_an_image_is_changed() -> None:
    _changed(lambda spec: spec.update(image="aidb-node:next"))
