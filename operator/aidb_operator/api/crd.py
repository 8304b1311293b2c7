"""A kind as a CustomResourceDefinition: JSON schema as pydantic makes it, in the form that Kubernetes takes.

References are put in place, `null` is left out (a field that is not there), and titles go.
"""

from __future__ import annotations

from typing import Any

from aidb_operator.api.kinds import GROUP, VERSION, Column, Kind

_COPIED = ("minimum", "maximum", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems")


def crd(kind: Kind) -> dict[str, Any]:
    singular = kind.name.lower()
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema(kind)},
        "subresources": _subresources(kind),
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.full_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": list(kind.short),
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def schema(kind: Kind) -> dict[str, Any]:
    made = kind.resource.model_json_schema(by_alias=True)
    root = _structural(made, made.get("$defs", {}))
    properties = root["properties"]
    properties["apiVersion"] = {"type": "string"}
    properties["kind"] = {"type": "string"}
    name = {"type": "string", "maxLength": kind.resource.name_most}
    # With both of them CEL believes how long names are; without, rules about names cost too much.
    properties["metadata"] = {
        "type": "object",
        "properties": {"name": name, "generateName": {"type": "string", "maxLength": name["maxLength"]}},
    }
    # Of a spec that has to be given: its own required fields are not asked for otherwise.
    root["required"] = ["spec"]
    properties["spec"].pop("default", None)
    properties["status"].pop("default", None)
    return root


def _structural(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _resolved(node, definitions)
    made: dict[str, Any] = {}
    if text := node.get("description"):
        made["description"] = " ".join(text.split())
    if "type" in node:
        made["type"] = node["type"]
    if "const" in node:
        made["enum"] = [node["const"]]
    elif "enum" in node:
        made["enum"] = list(node["enum"])
    made.update({key: node[key] for key in _COPIED if key in node})
    if "exclusiveMaximum" in node:
        made.update(maximum=node["exclusiveMaximum"], exclusiveMaximum=True)
    if "exclusiveMinimum" in node:
        made.update(minimum=node["exclusiveMinimum"], exclusiveMinimum=True)
    if "default" in node and node["default"] not in (None, []):
        made["default"] = node["default"]
    if "items" in node:
        made["items"] = _structural(node["items"], definitions)
    if "properties" in node:
        made["properties"] = {
            name: _structural(child, definitions) for name, child in node["properties"].items()
        }
        if required := node.get("required"):
            made["required"] = sorted(required)
    elif isinstance(values := node.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(values, definitions)
        if "maxProperties" in node:
            made["maxProperties"] = node["maxProperties"]
    made.update({key: value for key, value in node.items() if key.startswith("x-kubernetes-")})
    return made


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Without `$ref` and without `| null`; what stands beside a reference goes before what it refers to."""
    while True:
        if reference := node.get("$ref"):
            target = definitions[reference.rsplit("/", 1)[-1]]
        elif choices := node.get("anyOf"):
            [target] = [choice for choice in choices if choice.get("type") != "null"]
        else:
            return node
        rest = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
        rules = [*target.get("x-kubernetes-validations", ()), *rest.get("x-kubernetes-validations", ())]
        node = {**target, **rest, **({"x-kubernetes-validations": rules} if rules else {})}


def _subresources(kind: Kind) -> dict[str, Any]:
    made: dict[str, Any] = {"status": {}}
    if kind.scale:
        made["scale"] = {
            "specReplicasPath": kind.scale.spec_replicas,
            "statusReplicasPath": kind.scale.status_replicas,
            "labelSelectorPath": kind.scale.selector,
        }
    return made


def _column(column: Column) -> dict[str, Any]:
    made: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        made["description"] = column.description
    if column.wide:
        made["priority"] = 1
    return made
