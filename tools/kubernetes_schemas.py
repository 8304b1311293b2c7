"""Writes tests/kubernetes/schemas.json: Kubernetes' own schemas of the kinds that we make, so that what the
chart and the operator make can be validated anywhere, with no cluster, tool or network.

    go mod download k8s.io/kubernetes@v1.34.4
    python tools/kubernetes_schemas.py "$(go env GOMODCACHE)/k8s.io/kubernetes@v1.34.4"

Descriptions and defaults are left out; unknown fields are refused, as the API server does in strict mode.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "tests" / "kubernetes" / "schemas.json"

KINDS = {
    "v1": (
        "ConfigMap",
        "Namespace",
        "PersistentVolumeClaim",
        "Pod",
        "Secret",
        "Service",
        "ServiceAccount",
    ),
    "apps/v1": ("Deployment", "StatefulSet"),
    "apiextensions.k8s.io/v1": ("CustomResourceDefinition",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "coordination.k8s.io/v1": ("Lease",),
    "events.k8s.io/v1": ("Event",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
    "rbac.authorization.k8s.io/v1": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    "storage.k8s.io/v1": ("StorageClass",),
}
_LEFT_OUT = frozenset({"description", "default", "x-kubernetes-group-version-kind"})
_PREFIX = "#/components/schemas/"


def schemas(module: Path) -> dict[str, Any]:
    """Of the module k8s.io/kubernetes in this folder."""
    definitions: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    for api_version, names in sorted(KINDS.items()):
        group, _, version = api_version.rpartition("/")
        name = f"apis__{group}__{version}_openapi.json" if group else f"api__{version}_openapi.json"
        found = json.loads((module / "api" / "openapi-spec" / "v3" / name).read_text())["components"][
            "schemas"
        ]
        for key, schema in found.items():
            for known in schema.get("x-kubernetes-group-version-kind", ()):
                spoken = "/".join(part for part in (known["group"], known["version"]) if part)
                if spoken == api_version and known["kind"] in names:
                    kinds[f"{api_version}/{known['kind']}"] = key
                    _take(key, found, definitions)
    missing = {f"{v}/{k}" for v, names in KINDS.items() for k in names} - set(kinds)
    if missing:
        raise SystemExit(f"{module} has no schema of {', '.join(sorted(missing))}")
    return {
        "version": module.name.rpartition("@")[2],
        "kinds": dict(sorted(kinds.items())),
        "$defs": dict(sorted(definitions.items())),
    }


def _take(key: str, found: dict[str, Any], definitions: dict[str, Any]) -> None:
    if key in definitions:
        return
    definitions[key] = {}
    definitions[key] = _strict(found[key])
    for other in _references(definitions[key]):
        _take(other, found, definitions)


def _strict(node: Any, named: bool = False) -> Any:
    """``named``: the keys are names of fields, not words of the schema."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {
        key: _strict(value, named=key == "properties" and not named)
        for key, value in node.items()
        if named or key not in _LEFT_OUT
    }
    if named:
        return made
    if "$ref" in made:
        return {"$ref": made["$ref"].replace(_PREFIX, "#/$defs/")}
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return {key: value for key, value in made.items() if not key.startswith("x-kubernetes-")}


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for each in node for found in _references(each)]
    if not isinstance(node, dict):
        return []
    here = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
    return here + [found for value in node.values() for found in _references(value)]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    TARGET.write_text(json.dumps(schemas(Path(sys.argv[1])), separators=(",", ":"), sort_keys=True) + "\n")
