"""The autoscaler of a cluster of real processes: limits alone make it grow, so no load is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.operator.running import get, make, operator, until

pytestmark = pytest.mark.timeout(900)
SECONDS = 400.0


def test_replicas_become_as_many_as_the_autoscaler_asks_for(
    apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    small: dict[str, Any] = {"routers": {"replicas": 0}, "coordinators": {"replicas": 1}}

    def group(shard: int) -> Any:
        return get(apiserver, namespace, f"shardgroups/db-{shard}")

    with FakeWorkloads(apiserver, namespace, tmp_path), operator(apiserver, namespace, resync=2.0):
        make(
            apiserver,
            namespace,
            shards=1,
            replicas=0,
            autoscaling={"intervalSeconds": 5, "replicas": {"enabled": True, "min": 1}},
            **small,
        )
        until(lambda: group(0)["spec"]["replicas"] == 1, "the autoscaler to ask for a replica", SECONDS)
        until(lambda: group(0)["status"].get("readyReplicas") == 1, "the replica", SECONDS)
        assert group(0)["status"]["scaledBy"] == "autoscaler"
        hpa = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "theirs", "namespace": namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "aidb.io/v1alpha1", "kind": "ShardGroup", "name": "db-0"},
                "minReplicas": 1,
                "maxReplicas": 3,
            },
        }
        apiserver.request(
            "POST", f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", hpa
        )
        until(lambda: group(0)["status"]["scaledBy"] == "theirs", "it to step aside", SECONDS)
