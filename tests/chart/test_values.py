"""Values: each is documented, and what is wrong is refused by name before anything is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tools.generate_chart import comments

ROOT = Path(__file__).resolve().parents[2]
VALUES = yaml.safe_load((ROOT / "helm" / "aidb" / "values.yaml").read_text())
SCHEMA = json.loads((ROOT / "helm" / "aidb" / "values.schema.json").read_text())
# As in a pod's spec: Kubernetes documents these.
DEEP = ("affinity", "tolerations", "resources", "topologySpreadConstraints")

WRONG = [
    ({"images": {"tag": "1"}}, "images"),
    ({"image": {"tagg": "1"}}, "tagg"),
    ({"image": {"tag": 1}}, "image.tag"),
    ({"image": {"pullPolicy": "Sometimes"}}, "image.pullPolicy"),
    ({"image": {"repository": ""}}, "image.repository"),
    ({"image": {"repository": "Not/Lower"}}, "image.repository"),
    ({"image": {"digest": "sha256:12"}}, "image.digest"),
    ({"nodeImage": {"tag": "a b"}}, "nodeImage.tag"),
    ({"nameOverride": "Upper"}, "nameOverride"),
    ({"fullnameOverride": "-x"}, "fullnameOverride"),
    ({"logLevel": "loud"}, "logLevel"),
    ({"logFormat": "xml"}, "logFormat"),
    ({"crds": {"install": "maybe"}}, "crds.install"),
    ({"crds": {"keeps": True}}, "keeps"),
    ({"watchNamespaces": "all"}, "watchNamespaces"),
    ({"watchNamespaces": ["A"]}, "watchNamespaces"),
    ({"watchNamespaces": ["a", "a"]}, "watchNamespaces"),
    ({"extraArgs": ["resync=1"]}, "extraArgs"),
    ({"imagePullSecrets": [1]}, "imagePullSecrets"),
    ({"resources": {"requests": {"cpu": "much"}}}, "resources.requests.cpu"),
    ({"resources": {"request": {"cpu": "1"}}}, "request"),
    ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels"),
    ({"commonLabels": {"helm.sh/chart": "x"}}, "commonLabels"),
    ({"podLabels": {"a": "not one"}}, "podLabels"),
    ({"podAnnotations": {"a": 1}}, "podAnnotations"),
    ({"tolerations": [{"effect": "Never"}]}, "tolerations"),
    ({"tolerations": [{"efect": "NoExecute"}]}, "efect"),
    ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "topologySpreadConstraints"),
    ({"affinity": {"nodeAffinities": {}}}, "nodeAffinities"),
    ({"terminationGracePeriodSeconds": 0}, "terminationGracePeriodSeconds"),
    ({"podDisruptionBudget": {"maxUnavailable": 2}}, "podDisruptionBudget.maxUnavailable"),
    ({"networkPolicy": {"metricsFrom": "everybody"}}, "networkPolicy.metricsFrom"),
    ({"metrics": {"serviceMonitor": {"interval": "often"}}}, "metrics.serviceMonitor.interval"),
    ({"tests": {"cluster": {"name": "Demo"}}}, "tests.cluster.name"),
]


@pytest.mark.parametrize(("values", "said"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_wrong_values_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    merged = _merged(VALUES, values)
    told = [f"{error.json_path} {error.message}" for error in Draft7Validator(SCHEMA).iter_errors(merged)]
    assert told and all(said in one for one in told), told


def test_helm_refuses_by_the_schema_before_it_renders_anything(refused: Callable[..., str]) -> None:
    told = refused("images.tag=1", "logLevel=loud", 'podLabels={"app.kubernetes.io/name":"x"}')
    assert all(name in told for name in ("images", "/logLevel", "/podLabels")), told


def test_an_account_that_is_not_made_has_to_be_named(refused: Callable[..., str]) -> None:
    assert "serviceAccount.name is needed" in refused("serviceAccount.create=false")


def _merged(values: Any, others: Any) -> Any:
    if not isinstance(values, dict) or not isinstance(others, dict):
        return others
    return {**values, **{name: _merged(values.get(name), other) for name, other in others.items()}}


def _paths(values: Any, schema: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        if path == "global":
            continue
        yield path, child
        if path not in DEEP and child.get("type") == "object":
            yield from _paths(values.get(name, {}), child, f"{path}.")


def _given(values: Any, prefix: str = "") -> Iterator[str]:
    for name, child in values.items():
        path = f"{prefix}{name}"
        yield path
        if isinstance(child, dict) and path not in DEEP:
            yield from _given(child, f"{path}.")


def test_the_schema_the_values_and_their_documentation_name_the_same() -> None:
    in_schema = {path for path, _ in _paths(VALUES, SCHEMA)}
    assert set(_given(VALUES)) == in_schema
    documented = [name for name, _ in comments()]
    assert len(documented) == len(set(documented))
    # A group is documented by its members.
    groups = {"metrics", "metrics.serviceMonitor", "monitoring", "monitoring.prometheusRule", "tests"}
    assert set(documented) | groups == in_schema


def test_every_part_of_the_schema_says_what_it_is_and_takes_nothing_unknown() -> None:
    for path, schema in [*_paths(VALUES, SCHEMA), ("", SCHEMA)]:
        assert schema.get("description") or not path, path
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
    Draft7Validator.check_schema(SCHEMA)
    assert list(Draft7Validator(SCHEMA).iter_errors(VALUES)) == []
