"""Whether objects are what Kubernetes takes, told without Kubernetes: by its own schemas (schemas.json) and,
for our kinds, by those in ``crds/``. CEL, quantities and what depends on other objects is the API server's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).with_name("schemas.json")
# Of other projects: nobody has their schemas here.
FOREIGN = frozenset(f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PrometheusRule"))


def documents(text: str) -> list[dict[str, Any]]:
    """The objects in a YAML stream. Raises AssertionError for one that names a field twice."""
    return [one for one in yaml.load_all(text, _Unique) if one is not None]


def problems(objects: Iterable[dict[str, Any]]) -> list[str]:
    """What is wrong with each, by kind and name; nothing when all is well."""
    return [problem for one in objects for problem in _problems(one)]


def _problems(raw: dict[str, Any]) -> list[str]:
    what = f"{raw.get('apiVersion')}/{raw.get('kind')}"
    named = f"{what} {raw.get('metadata', {}).get('name')}"
    if what in FOREIGN:
        return []
    validator = _validator(what)
    if validator is None:
        return [f"{named}: no schema; add the kind to tools/kubernetes_schemas.py"]
    return [f"{named}: {error.json_path}: {error.message[:300]}" for error in validator.iter_errors(raw)]


@cache
def _validator(what: str) -> Draft202012Validator | None:
    if what in _own():
        return Draft202012Validator(_own()[what])
    known = json.loads(SCHEMAS.read_text())
    name = known["kinds"].get(what)
    if name is None:
        return None
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": known["$defs"]})


@cache
def _own() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        spec = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{spec['group']}/{version['name']}/{spec['names']['kind']}"] = schema
    return found


def _closed(schema: Any) -> Any:
    """The API server drops unknown fields; who writes one means something by it: they are refused here."""
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if key not in ("description", "default")}
    if "properties" in made:
        made["properties"] = {name: _closed(field) for name, field in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for word in ("items", "additionalProperties"):
        if isinstance(made.get(word), dict):
            made[word] = _closed(made[word])
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    # Numbers as limits, not OpenAPI 3.0's booleans beside them.
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if made.get(exclusive) is True:
            made[exclusive] = made.pop(limit)
    if made.get("nullable"):
        made = {"anyOf": [made, {"type": "null"}]}
    return made


class _Unique(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{node.start_mark}: {', '.join(map(str, twice))} is given twice"
        return super().construct_mapping(node, deep)
