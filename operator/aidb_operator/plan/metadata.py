"""What every object of a cluster carries."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.names import Component
from aidb_operator.plan.outcome import View


def made(
    view: View,
    kind: Kind,
    name: str,
    component: Component | None = None,
    shard: int | None = None,
    incarnation: int | None = None,
    **content: Any,
) -> Raw:
    """An object of the cluster: it goes with it."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": name,
            "namespace": view.namespace,
            "labels": names.labels(view.name, component, shard, incarnation),
            "ownerReferences": [owner(view.cluster)],
        },
        **content,
    }


def owner(cluster: Raw) -> Raw:
    return {
        "apiVersion": kinds.CLUSTER.api_version,
        "kind": kinds.CLUSTER.name,
        "name": cluster["metadata"]["name"],
        "uid": cluster["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned(raw: Raw, cluster: Raw) -> bool:
    uid = cluster["metadata"]["uid"]
    return any(one.get("uid") == uid for one in raw["metadata"].get("ownerReferences") or ())


def digest(document: Any) -> str:
    """Short, and the same for equal documents."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
