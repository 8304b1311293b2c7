"""Every invalid spec is refused at admission, or reported in a condition that names the field."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import pytest
from aidb_operator.api import validation
from aidb_operator.api.cluster import AidbCluster, ClusterSpec
from aidb_operator.api.conditions import Type, find
from aidb_operator.api.model import Resource

from tests.coordinator.process import until
from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.invalid_specs import ALL, STORE, VALID, Invalid
from tests.kubernetes.objects import made, path
from tests.operator.running import operator

# The first test of a run waits for the server, which on a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)

# As kubectl asks: what is not known is refused.
STRICT = "dryRun=All&fieldValidation=Strict"


def test_there_are_sixty() -> None:
    assert len({(one.kind, str(one.changes)) for one in ALL}) == len(ALL) >= 60


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_what_they_are_changes_of_is_accepted(
    apiserver: ApiServer, namespace: str, kind: type[Resource]
) -> None:
    apiserver.request("POST", f"{path(kind, namespace)}?{STRICT}", made(kind))


@pytest.fixture(scope="module")
def where(apiserver: ApiServer) -> str:
    return apiserver.namespace()


@pytest.mark.parametrize("invalid", ALL, ids=lambda one: one.title.replace(" ", "-"))
def test_it_is_refused_or_reported(apiserver: ApiServer, where: str, invalid: Invalid) -> None:
    said = answer(apiserver, where, invalid)
    assert invalid.field in said, said


def answer(apiserver: ApiServer, namespace: str, invalid: Invalid) -> str:
    body = made(invalid.kind, invalid.changes)
    try:
        accepted: dict[str, Any] = apiserver.request(
            "POST", f"{path(invalid.kind, namespace)}?{STRICT}", body
        )
    except Refused as refused:
        assert refused.code in (400, 422)
        return refused.said
    assert invalid.kind is AidbCluster, f"accepted: {accepted['spec']}"
    return validation.sentence(validation.problems(ClusterSpec.model_validate(accepted["spec"])))


def test_the_operator_tells_of_those_that_admission_lets_through(
    apiserver: ApiServer, namespace: str
) -> None:
    """In the condition Valid; and it makes nothing for them."""
    stored: dict[str, Invalid] = {}
    for number, invalid in enumerate(ALL):
        if invalid.kind is not AidbCluster or "metadata.name" in invalid.changes:
            continue
        body = made(AidbCluster, {**invalid.changes, "metadata.name": f"c{number}"})
        with contextlib.suppress(Refused):
            apiserver.request("POST", f"{path(AidbCluster, namespace)}?fieldValidation=Strict", body)
            stored[f"c{number}"] = invalid
    assert len(stored) > 10

    def told(name: str) -> str:
        cluster = AidbCluster.of(apiserver.request("GET", path(AidbCluster, namespace, name)))
        valid = find(cluster.status.conditions, Type.VALID)
        return valid.message if valid is not None and valid.status == "False" else ""

    with operator(apiserver, namespace):
        for name, invalid in stored.items():
            assert invalid.field in until(functools.partial(told, name), 120), invalid.title
    for plural in ("deployments", "statefulsets"):
        assert apiserver.request("GET", f"/apis/apps/v1/namespaces/{namespace}/{plural}")["items"] == []


VALID_SPECS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "archived": {"durability": "archived", "objectStore": STORE, "backup": {"keepDays": 30}},
    "replica": {"durability": "replica", "replicas": 1},
    "all of a store": {
        "objectStore": {
            **STORE,
            "endpoint": "https://minio.storage:9000",
            "region": "eu-1",
            "credentialsSecret": "s3",
            "caSecret": "s3-ca",
        }
    },
    "recovery": {
        "objectStore": STORE,
        "bootstrap": {"recovery": {"source": {"url": "s3://bucket/other"}, "time": "2026-01-02T03:04:05Z"}},
    },
    "memory": {
        "primary": {"memoryBytes": "1Gi", "resources": {"limits": {"memory": "2Gi", "cpu": 2}}},
        "replica": {"cacheBytes": "512Mi", "resources": {"requests": {"memory": "1Gi", "cpu": "500m"}}},
    },
    "scheduling": {
        "primary": {
            "nodeSelector": {"example.com/disk": "ssd"},
            "podLabels": {"team": "a"},
            "podAnnotations": {"example.com/cost": "centre 7"},
            "tolerations": [{"operator": "Exists"}, {"key": "dedicated", "value": "aidb"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "disks", "operator": "Gt", "values": ["3"]}]}
                        ]
                    }
                }
            },
        }
    },
    "autoscaling": {
        "autoscaling": {
            "replicas": {"enabled": True, "min": 2, "cpu": {"enabled": False}, "hitPercent": 0},
            "shards": {"enabled": True, "max": 8, "bytes": {"target": "16Gi"}},
        }
    },
    "clients": {
        "security": {
            "networkPolicy": {
                "clients": [
                    {"namespaceSelector": {"matchLabels": {"team": "a"}}},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                ]
            }
        }
    },
}


@pytest.mark.parametrize("name", VALID_SPECS)
def test_what_is_valid_is_accepted_and_has_no_problems(apiserver: ApiServer, where: str, name: str) -> None:
    body = made(AidbCluster, {"spec": VALID_SPECS[name]})
    accepted = apiserver.request("POST", f"{path(AidbCluster, where)}?{STRICT}", body)
    assert validation.problems(ClusterSpec.model_validate(accepted["spec"])) == ()


def test_an_object_that_an_earlier_crd_let_in_is_said_to_be_unreadable() -> None:
    found = validation.unreadable(
        AidbCluster, {"spec": {"shards": "many", "storage": {"size": "ten"}, "replicas": -1}}
    )
    assert [problem.field for problem in found] == ["spec.replicas", "spec.shards", "spec.storage.size"]
