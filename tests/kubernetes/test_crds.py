"""The CRDs are what the typed API says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aidb_operator.api.crd import crd, schema
from aidb_operator.api.kinds import KINDS, Kind

from tools import generate_crds

by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        if path or name not in ("metadata", "apiVersion", "kind"):
            yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from nodes(node["additionalProperties"], f"{path}{{}}")


def test_what_is_made_of_it_is_current() -> None:
    stale = [
        str(path)
        for path, text in generate_crds.files().items()
        if not (generate_crds.ROOT / path).exists() or (generate_crds.ROOT / path).read_text() != text
    ]
    assert stale == [], "run `make gen`"


@by_kind
def test_every_field_is_described(kind: Kind) -> None:
    silent = [
        path
        for path, node in nodes(schema(kind), "")
        if not path.endswith(("[]", "{}")) and not node.get("description")
    ]
    assert silent == []


@by_kind
def test_every_field_has_a_type_and_every_list_and_map_of_a_spec_an_end(kind: Kind) -> None:
    """Rules about what has no end cost too much to be accepted."""
    root = schema(kind)
    for path, node in nodes(root, ""):
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        if path.startswith(".spec"):
            assert node.get("type") != "array" or "maxItems" in node, path
            assert "additionalProperties" not in node or "maxProperties" in node, path


@by_kind
def test_columns_show_fields_that_there_are(kind: Kind) -> None:
    known = {path for path, _ in nodes(schema(kind), "")} | {".metadata.creationTimestamp"}
    for column in kind.columns:
        if not column.path.startswith(".status.conditions["):
            assert column.path in known, column


@by_kind
def test_kubectl_apply_can_keep_it_in_its_annotation(kind: Kind) -> None:
    assert len(json.dumps(crd(kind), separators=(",", ":"))) < 262_144
