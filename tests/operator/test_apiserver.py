"""The operator against a real API server, without anything that makes pods."""

from __future__ import annotations

from tests.kubernetes.apiserver import ApiServer
from tests.operator.running import calls, get, make, operator, turns, until


def names(apiserver: ApiServer, namespace: str, plural: str) -> set[str]:
    return {one["metadata"]["name"] for one in get(apiserver, namespace, plural)["items"]}


def test_a_cluster_is_made(apiserver: ApiServer, namespace: str) -> None:
    with operator(apiserver, namespace):
        make(apiserver, namespace, shards=2, replicas=3)
        until(lambda: names(apiserver, namespace, "statefulsets") == {"db-0-1", "db-1-1"}, "primaries")
        until(
            lambda: get(apiserver, namespace, "deployments/db-1-replica")["spec"]["replicas"] == 3, "replicas"
        )
        assert names(apiserver, namespace, "shardgroups") == {"db-0", "db-1"}
        assert get(apiserver, namespace, "shardgroups/db-1")["spec"]["replicas"] == 3
        until(lambda: "db-router" in names(apiserver, namespace, "deployments"), "routers")
        secrets = {"db-ca", "db-tokens", "db-node-tls", "db-coordinator-tls", "db-client-tls"}
        assert names(apiserver, namespace, "secrets") == secrets
        status = until(
            lambda: get(apiserver, namespace, "aidbclusters/db").get("status", {}).get("conditions"), "status"
        )
        conditions = {one["type"]: one["status"] for one in status}
        assert conditions["Ready"] == "False"
        assert conditions["Valid"] == conditions["CertificatesReady"] == "True"


def test_a_spec_that_does_not_change_writes_nothing(apiserver: ApiServer, namespace: str) -> None:
    with operator(apiserver, namespace, resync=1.0) as made:
        make(apiserver, namespace, shards=1)
        until(lambda: "db-router" in names(apiserver, namespace, "deployments"), "routers")

        def settled() -> bool:
            before, began = calls(made), turns(made)
            until(lambda: turns(made) >= began + 3, "turns")
            return calls(made) == before

        until(settled, "three turns without a call")


def test_what_was_deleted_or_changed_by_hand_is_put_right(apiserver: ApiServer, namespace: str) -> None:
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    services = f"/api/v1/namespaces/{namespace}/services"
    with operator(apiserver, namespace):
        make(apiserver, namespace, shards=1)
        until(lambda: "db-router" in names(apiserver, namespace, "poddisruptionbudgets"), "budget")
        until(lambda: "db" in names(apiserver, namespace, "services"), "service")
        apiserver.request("DELETE", f"{budgets}/db-router")
        patch = {"spec": {"selector": {"aidb.io/cluster": "other"}}}
        apiserver.request("PATCH", f"{services}/db", patch, "application/merge-patch+json")
        until(lambda: "db-router" in names(apiserver, namespace, "poddisruptionbudgets"), "budget again")
        until(
            lambda: get(apiserver, namespace, "services/db")["spec"]["selector"]["aidb.io/cluster"] == "db",
            "selector",
        )
