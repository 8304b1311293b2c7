"""What the watches have seen, by cluster. Written by kopf's loop, read by the workers' threads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw


class ClusterKey(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Seen(NamedTuple):
    """At one moment: a cluster's objects by kind and name, and the nodes."""

    objects: Mapping[Kind, Mapping[str, Raw]]
    nodes: Mapping[str, Raw]


class Store:
    """Objects are replaced, never changed: what was handed out stays as it is. `whole`: every listing is in
    it; before, what is missing may only not have been read yet, so nobody may decide by it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Kind, dict[tuple[str, str], Raw]] = defaultdict(dict)
        self._of_cluster: dict[ClusterKey, dict[Kind, dict[str, Raw]]] = {}
        self.whole = False

    def put(self, kind: Kind, raw: Raw) -> bool:
        """Whether anything changed that somebody decides by."""
        raw = slim(raw)
        place, owner = _place(raw), owner_of(kind, raw)
        with self._lock:
            known = self._objects[kind].get(place)
            self._take(kind, place)
            self._objects[kind][place] = raw
            if owner is not None:
                self._of_cluster.setdefault(owner, {}).setdefault(kind, {})[place[1]] = raw
        return known is None or _essence(kind, known) != _essence(kind, raw)

    def remove(self, kind: Kind, raw: Raw) -> None:
        """Unless it is another one of that name by now."""
        place = _place(raw)
        with self._lock:
            known = self._objects[kind].get(place)
            if known is None or known["metadata"].get("uid") == raw["metadata"].get("uid"):
                self._take(kind, place)

    def _take(self, kind: Kind, place: tuple[str, str]) -> None:
        known = self._objects[kind].pop(place, None)
        owner = None if known is None else owner_of(kind, known)
        if owner is not None:
            of_kind = self._of_cluster[owner][kind]
            del of_kind[place[1]]
            if not of_kind:
                del self._of_cluster[owner][kind]
            if not self._of_cluster[owner]:
                del self._of_cluster[owner]

    def seen(self, key: ClusterKey) -> Seen | None:
        """None while it is not whole."""
        with self._lock:
            if not self.whole:
                return None
            nodes = {name: raw for (_, name), raw in self._objects[kinds.NODE].items()}
            of_cluster = self._of_cluster.get(key, {})
            return Seen({kind: dict(objects) for kind, objects in of_cluster.items()}, nodes)

    def of_cluster(self, key: ClusterKey) -> Mapping[Kind, Mapping[str, Raw]]:
        """Its objects by kind and name, the cluster itself among them."""
        with self._lock:
            return {kind: dict(objects) for kind, objects in self._of_cluster.get(key, {}).items()}

    def get(self, kind: Kind, namespace: str, name: str) -> Raw | None:
        """Whosever it is."""
        with self._lock:
            return self._objects[kind].get((namespace, name))

    def clusters(self) -> Iterable[ClusterKey]:
        with self._lock:
            return [ClusterKey(*place) for place in self._objects[kinds.CLUSTER]]

    def clear(self) -> None:
        """Everything is about to be read anew."""
        with self._lock:
            self.whole = False
            self._objects.clear()
            self._of_cluster.clear()


def owner_of(kind: Kind, raw: Raw) -> ClusterKey | None:
    """Whose reconcile an object concerns; None = all clusters'."""
    metadata = raw["metadata"]
    if not kind.namespaced:
        return None
    namespace = metadata.get("namespace", "")
    if kind is kinds.CLUSTER:
        return ClusterKey(namespace, metadata["name"])
    if kind is kinds.AUTOSCALER:
        target = raw.get("spec", {}).get("scaleTargetRef", {})
        if target.get("kind") != kinds.SHARD_GROUP.name:
            return ClusterKey(namespace, "")
        return ClusterKey(namespace, str(target.get("name", "")).rpartition("-")[0])
    if kind.api_version == names.API_VERSION:
        named = raw.get("spec", {}).get("cluster")
        if isinstance(named, dict):
            named = named.get("name")
        if isinstance(named, str) and named:
            return ClusterKey(namespace, named)
    return ClusterKey(namespace, (metadata.get("labels") or {}).get(names.CLUSTER, ""))


def slim(raw: Raw) -> Raw:
    """Without what nobody reads and what is half of an object's size."""
    metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    return {**raw, "metadata": metadata}


def _place(raw: Raw) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def _essence(kind: Kind, raw: Raw) -> Any:
    """Without what changes while nothing happens: nodes report each few minutes that they are there."""
    if kind is not kinds.NODE:
        return raw["metadata"].get("resourceVersion"), raw["metadata"].get("uid")
    metadata, status = raw["metadata"], raw.get("status", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return metadata.get("labels"), raw.get("spec"), conditions, metadata.get("deletionTimestamp")
