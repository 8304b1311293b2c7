"""Our kinds in a real API server: defaults, who owns which field, conflicts, scale, status, finalizers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aidb_operator.api.backup import AidbBackupSpec
from aidb_operator.api.backup_schedule import AidbBackupScheduleSpec
from aidb_operator.api.cluster import AidbCluster, ClusterSpec
from aidb_operator.api.kinds import KINDS, Kind
from aidb_operator.api.model import Model
from aidb_operator.api.shard_group import ShardGroup, ShardGroupSpec

from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.invalid_specs import STORE
from tests.kubernetes.objects import made, path

# The first test of a run waits for the server, which on a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
CLUSTERS = 50
SHARDS = 20


def apply(
    apiserver: ApiServer, where: str, manager: str, body: dict[str, Any], *, force: bool = False
) -> Any:
    return apiserver.request(
        "PATCH", f"{where}?fieldManager={manager}&force={str(force).lower()}", body, APPLY
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_server_fills_in_what_the_classes_would(apiserver: ApiServer, namespace: str, kind: Kind) -> None:
    """Else an operator would plan with other values than `kubectl get -o yaml` shows."""
    body = made(kind.resource)
    stored = apiserver.request("POST", path(kind.resource, namespace), body)
    read, meant = (kind.resource.model_validate(one) for one in (stored, body))
    assert read.model_dump(include={"spec"}) == meant.model_dump(include={"spec"})
    # And it writes out all of what the classes have a value for.
    assert {"spec": written(stored["spec"])} == {"spec": written(dumped(read)["spec"])}


def dumped(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return found


def written(value: Any) -> Any:
    """Without empty lists and maps, which are as good as absent."""
    if isinstance(value, dict):
        inner = {key: written(one) for key, one in value.items()}
        return {key: one for key, one in inner.items() if one not in ([], {})}
    return value


def test_a_group_that_is_given_in_part_has_the_rest_by_default(apiserver: ApiServer, namespace: str) -> None:
    given = {"replicas": {"enabled": True, "cpu": {"high": 90}}}
    body = made(AidbCluster, {"spec.autoscaling": given, "spec.routers": {"replicas": 4}})
    cluster = AidbCluster.of(apiserver.request("POST", path(AidbCluster, namespace), body))
    replicas = cluster.spec.autoscaling.replicas
    assert (replicas.enabled, replicas.max, replicas.cpu.target, replicas.cpu.high) == (True, 10, 50, 90)
    assert cluster.spec.routers.replicas == 4


def test_what_is_not_known_is_left_out(apiserver: ApiServer, namespace: str) -> None:
    """Of clients that do not ask for strictness; kubectl does."""
    stored = apiserver.request("POST", path(AidbCluster, namespace), made(AidbCluster, {"spec.shrads": 3}))
    assert "shrads" not in stored["spec"]


def test_scale_of_a_shard_is_its_replicas(apiserver: ApiServer, namespace: str) -> None:
    apiserver.request("POST", path(ShardGroup, namespace), made(ShardGroup))
    where = path(ShardGroup, namespace, "demo-0")
    status = {"status": {"replicas": 2, "readyReplicas": 1, "selector": "aidb.io/shard=0"}}
    apiserver.request("PATCH", f"{where}/status", status, MERGE)
    scale = apiserver.request("GET", f"{where}/scale")
    assert scale["spec"]["replicas"] == ShardGroupSpec(cluster="demo", shard=0).replicas
    assert scale["status"] == {"replicas": 2, "selector": "aidb.io/shard=0"}

    apiserver.kubectl("-n", namespace, "scale", "sg", "demo-0", "--replicas=5")
    shard = ShardGroup.of(apiserver.request("GET", where))
    assert (shard.spec.replicas, shard.metadata.generation) == (5, 2)
    with pytest.raises(Refused, match="replicas"):
        apiserver.request("PATCH", f"{where}/scale", {"spec": {"replicas": 101}}, MERGE)


def test_an_operator_that_does_not_name_the_replicas_leaves_them_to_others(
    apiserver: ApiServer, namespace: str
) -> None:
    where = path(ShardGroup, namespace, "demo-0")
    apply(apiserver, where, "aidb-operator", made(ShardGroup, {"spec.replicas": 3}))
    # It gives the field up: nobody else names it, so its default comes back.
    silent = made(ShardGroup)
    apply(apiserver, where, "aidb-operator", silent)
    apiserver.request("PATCH", f"{where}/scale", {"spec": {"replicas": 7}}, MERGE)
    assert apply(apiserver, where, "aidb-operator", silent, force=True)["spec"]["replicas"] == 7


def test_who_applies_a_field_of_another_is_told(apiserver: ApiServer, namespace: str) -> None:
    where = path(AidbCluster, namespace, "demo")
    apply(apiserver, where, "gitops", made(AidbCluster, {"spec.shards": 4}))
    with pytest.raises(Refused, match=r'conflict with "gitops".*spec\.shards') as refused:
        apply(apiserver, where, "somebody", made(AidbCluster, {"spec.shards": 5}))
    assert refused.value.code == 409
    assert apply(apiserver, where, "somebody", made(AidbCluster, {"spec.replicas": 1}))["spec"]["shards"] == 4


def test_applying_the_same_again_changes_nothing(apiserver: ApiServer, namespace: str) -> None:
    where = path(AidbCluster, namespace, "demo")
    body = made(AidbCluster, {"spec.objectStore": STORE, "spec.shards": 4})
    before = apply(apiserver, where, "gitops", body)["metadata"]["resourceVersion"]
    for _ in range(50):
        assert apply(apiserver, where, "gitops", body)["metadata"]["resourceVersion"] == before


def test_a_writer_of_something_older_is_refused(apiserver: ApiServer, namespace: str) -> None:
    old = apiserver.request("POST", path(AidbCluster, namespace), made(AidbCluster))
    where = path(AidbCluster, namespace, "demo")
    apiserver.request("PATCH", where, {"spec": {"shards": 4}}, MERGE)
    old["spec"]["shards"] = 9
    with pytest.raises(Refused) as refused:
        apiserver.request("PUT", where, old)
    assert refused.value.code == 409


def test_conditions_of_two_writers_stand_side_by_side(apiserver: ApiServer, namespace: str) -> None:
    apiserver.request("POST", path(AidbCluster, namespace), made(AidbCluster))
    where = path(AidbCluster, namespace, "demo")
    for manager, type in (("aidb-operator", "Ready"), ("watchdog", "Audited")):
        condition = {
            "type": type,
            "status": "True",
            "reason": "Checked",
            "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
        body = {**made(AidbCluster), "status": {"conditions": [condition]}}
        del body["spec"]
        apply(apiserver, f"{where}/status", manager, body)
    cluster = AidbCluster.of(apiserver.request("GET", where))
    assert {one.type for one in cluster.status.conditions} == {"Ready", "Audited"}
    twice = {"status": {"conditions": [condition, condition]}}
    with pytest.raises(Refused, match=r"status\.conditions\[1\]"):
        apiserver.request("PATCH", f"{where}/status", twice, MERGE)


def test_a_status_is_written_apart_from_its_spec(apiserver: ApiServer, namespace: str) -> None:
    where = path(AidbCluster, namespace, "demo")
    apiserver.request(
        "POST", path(AidbCluster, namespace), {**made(AidbCluster), "status": {"phase": "Made up"}}
    )
    told = apiserver.request("PATCH", f"{where}/status", {"status": {"observedGeneration": 1}}, MERGE)
    assert told["status"] == {"observedGeneration": 1}, "who creates has no say in it"
    assert told["metadata"]["generation"] == 1, "it is no change of what is wanted"
    told = apiserver.request("PATCH", f"{where}/status", {"spec": {"shards": 9}}, MERGE)
    assert told["spec"]["shards"] == ClusterSpec().shards
    told = apiserver.request("PATCH", where, {"status": {"phase": "Made up"}, "spec": {"shards": 9}}, MERGE)
    assert (told["status"], told["metadata"]["generation"]) == ({"observedGeneration": 1}, 2)


def test_a_finalizer_keeps_what_is_deleted_until_it_is_taken_off(
    apiserver: ApiServer, namespace: str
) -> None:
    where = path(AidbCluster, namespace, "demo")
    body = made(AidbCluster, {"metadata.finalizers": ["aidb.io/last-snapshot"]})
    apiserver.request("POST", path(AidbCluster, namespace), body)
    apiserver.request("DELETE", where)
    cluster = AidbCluster.of(apiserver.request("GET", where))
    assert cluster.deleting
    apiserver.request("PATCH", f"{where}/status", {"status": {"phase": "Deleting"}}, MERGE)
    apiserver.request("PATCH", where, {"metadata": {"finalizers": None}}, MERGE)
    with pytest.raises(Refused) as refused:
        apiserver.request("GET", where)
    assert refused.value.code == 404


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kubectl_shows_the_columns_and_explains_the_fields(
    apiserver: ApiServer, namespace: str, kind: Kind
) -> None:
    apiserver.request("POST", path(kind.resource, namespace), made(kind.resource))
    shown = apiserver.kubectl("-n", namespace, "get", kind.short[0])
    headings = shown.splitlines()[0].split()
    assert headings == ["NAME", *(column.name.upper() for column in kind.columns if not column.wide)]
    assert "DESCRIPTION" in apiserver.kubectl("explain", f"{kind.short[0]}.spec")


def test_fifty_clusters_of_twenty_shards_are_stored(apiserver: ApiServer, namespace: str) -> None:
    """Small enough for one list, and for watches."""
    for number in range(CLUSTERS):
        name = f"cluster-{number}"
        body = made(AidbCluster, {"metadata.name": name, "spec.objectStore": STORE, "spec.shards": SHARDS})
        apiserver.request("POST", path(AidbCluster, namespace), body)
    for shard in range(SHARDS):
        changes = {"metadata.name": f"cluster-0-{shard}", "spec": {"cluster": "cluster-0", "shard": shard}}
        apiserver.request("POST", path(ShardGroup, namespace), made(ShardGroup, changes))
    listed = apiserver.request("GET", f"{path(AidbCluster, namespace)}?limit=500")["items"]
    assert {AidbCluster.of(one).name for one in listed} == {f"cluster-{n}" for n in range(CLUSTERS)}
    groups = apiserver.request("GET", path(ShardGroup, namespace))["items"]
    assert len(groups) == SHARDS
    cluster, group = (len(json.dumps(one, separators=(",", ":"))) for one in (listed[0], groups[0]))
    assert cluster < 16_384 and group < 4_096


def test_defaults_of_schedules_are_those_of_backups() -> None:
    """A schedule makes backups as people would."""
    of_backup = AidbBackupSpec.model_fields["deadline_seconds"].default
    assert AidbBackupScheduleSpec.model_fields["deadline_seconds"].default == of_backup
