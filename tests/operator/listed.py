"""An API server and a coordinator that are lists, for turns of the operator."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from aidb_operator.coordinator import Coordinators
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import ApiError
from aidb_operator.kubernetes.kinds import Kind, Raw, kind_of
from aidb_operator.kubernetes.store import ClusterKey, Store
from aidb_operator.plan.outcome import Event
from aidb_operator.reconcile import Surroundings

from tests.operator import views

KEY = ClusterKey("test", "db")


@dataclass
class Listed:
    """As the API server: keeps what is applied in the store, and a list of calls."""

    store: Store
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    refuses: str = ""
    events: list[Event] = field(default_factory=list)
    turns: list[bool] = field(default_factory=list)
    _uids: Any = field(default_factory=itertools.count)

    def apply(self, wanted: Raw) -> Raw:
        kind, name = self.noted("apply", kind_of(wanted), wanted["metadata"]["name"])
        found = self.find(kind, name) or {"metadata": {"uid": f"uid-{next(self._uids)}"}}
        made = {**found, **wanted, "metadata": {**found["metadata"], **wanted["metadata"]}}
        if "spec" in found and "replicas" in found["spec"]:
            made["spec"] = {**wanted["spec"], "replicas": found["spec"]["replicas"]}
        self.put(kind, made)
        return made

    def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> None:
        self.noted("scale", kind, name)
        found = self.find(kind, name)
        assert found is not None
        self.put(kind, {**found, "spec": {**found["spec"], "replicas": replicas}})

    def patch(self, kind: Kind, namespace: str, name: str, body: Raw, *, subresource: str = "") -> Raw:
        self.noted(f"patch {subresource}".strip(), kind, name)
        found = self.find(kind, name)
        assert found is not None
        made = {**found, "status": {**found.get("status", {}), **body["status"]}}
        self.put(kind, made)
        return made

    def delete(self, kind: Kind, namespace: str, name: str, **options: Any) -> bool:
        self.noted("delete", kind, name)
        found = self.find(kind, name)
        if found is None or found["metadata"]["uid"] != options["uid"]:
            return False
        self.store.remove(kind, found)
        return True

    def post(self, about: Raw, events: list[Event]) -> None:
        self.events += events

    def turn(self, seconds: float, failed: bool) -> None:
        self.turns.append(failed)

    def noted(self, verb: str, kind: Kind, name: str) -> tuple[Kind, str]:
        if self.refuses and self.refuses == name:
            raise ApiError(f"cannot {verb} {name}", 403, "Forbidden", "not allowed")
        self.calls.append((verb, kind.name, name))
        return kind, name

    def find(self, kind: Kind, name: str) -> Raw | None:
        return self.store.of_cluster(KEY).get(kind, {}).get(name)

    def put(self, kind: Kind, raw: Raw) -> None:
        self.store.put(kind, raw)


def around(
    spec: Raw | None = None, *, kind: type[Listed] = Listed, **metadata: Any
) -> tuple[Listed, Surroundings]:
    """A cluster that is to be made, and what a turn of it works with."""
    store = Store()
    store.whole = True
    listed = kind(store)
    tls = {"security": {"tls": {"enabled": False}, "networkPolicy": {"enabled": False}}}
    store.put(kinds.CLUSTER, views.cluster({"shards": 1, **tls, **(spec or {})}, **metadata))
    made: Any = Surroundings(
        store=store,
        api=listed,  # type: ignore[arg-type]
        coordinators=Coordinators(),
        events=listed,  # type: ignore[arg-type]
        telling=listed,
        available=lambda: frozenset(kinds.WATCHED),
        image=views.IMAGE,
        clock=lambda: views.NOW,
    )
    return listed, made
