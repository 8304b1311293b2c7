"""Objects of our kinds, as tests write them."""

from __future__ import annotations

import copy
from typing import Any

from aidb_operator.api.kinds import GROUP, VERSION
from aidb_operator.api.model import Resource

from tests.kubernetes.invalid_specs import VALID


def made(kind: type[Resource], changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A valid one, changed at dotted paths; None takes away."""
    body: dict[str, Any] = copy.deepcopy(VALID[kind])
    for path, value in (changes or {}).items():
        *way, last = path.split(".")
        node = body
        for part in way:
            node = node.setdefault(part, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = copy.deepcopy(value)
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind.__name__, **body}


def path(kind: type[Resource], namespace: str, name: str = "") -> str:
    where = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{kind.plural}"
    return f"{where}/{name}" if name else where
