"""Desired against existing: what servers and others add is no difference, what they change is."""

from __future__ import annotations

from typing import Any

import pytest
from aidb_operator.plan.difference import difference


@pytest.mark.parametrize(
    ("existing", "desired"),
    [
        ({"a": 1, "defaulted": 2}, {"a": 1}),
        ({"cpu": "1"}, {"cpu": "1000m"}),
        ({"memory": "4Gi"}, {"memory": "4096Mi"}),
        ({"port": 1}, {"port": 1}),
        (
            [{"name": "b", "x": 1}, {"name": "a", "x": 1, "injected": True}],
            [{"name": "a", "x": 1}],
        ),
        ({"list": None}, {"list": []}),
        ({}, {"list": []}),
        ({}, {"absent": None}),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_is_covered(existing: Any, desired: Any) -> None:
    assert difference(existing, desired) == ""


@pytest.mark.parametrize(
    ("existing", "desired", "where"),
    [
        ({"a": 1}, {"a": 2}, ".a"),
        ({}, {"a": {"b": 1}}, ".a"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ".a.b"),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ".a"),
        ({"a": ["x", "y"]}, {"a": ["x"]}, ".a"),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2}]}, ".a[x].v"),
        ({"a": [{"name": "x"}]}, {"a": [{"name": "y"}]}, ".a[y]"),
        ({"cpu": "1"}, {"cpu": "2"}, ".cpu"),
        ({"image": "1a"}, {"image": "1b"}, ".image"),
        ({"on": True}, {"on": "1"}, ".on"),
    ],
)
def test_differs(existing: Any, desired: Any, where: str) -> None:
    assert difference(existing, desired) == where
