"""The metrics that the tool before had: each is there and moves when it should. And promtool finds nothing to
complain of in any scrape.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import aidb
from aidb.client_metrics import ClientMetrics
from aidb.metrics import MetricsServer
from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.monitoring.prometheus import promtool
from tests.node.process import NodeProcess, get, put, refusal
from tools.generate_metrics import collectors

METRICS = ("--metrics", "127.0.0.1:0")
# What a busy machine may need.
SECONDS = 60.0
Labels = dict[str, str]


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def value(address: str, name: str, **labels: str) -> float:
    """The sum of what has these labels; NaN when there is no such metric."""
    found = [
        sample.value
        for family in text_string_to_metric_families(scrape(address))
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else float("nan")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A shard with a cache, a router and an object store; `metrics` are addresses by role."""

    coordinator: CoordinatorProcess
    primary: NodeProcess
    replica: NodeProcess
    router: NodeProcess
    metrics: dict[str, str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data = tmp_path_factory.mktemp("seed-metrics")
    objects = ("--objects", f"file://{data / 'objects'}")
    coordinator = CoordinatorProcess(data / "coordinator", "--shards", "1", *METRICS, *objects, *FAST)
    nodes: list[NodeProcess] = []
    try:
        primary = NodeProcess(coordinator.address, data / "shard-0", *METRICS, *objects)
        nodes.append(primary.ready())
        for role in ("replica", "router"):
            node = NodeProcess(coordinator.address, data / role, *METRICS, role=role)
            nodes.append(node.ready())
        until(lambda: all(shard.replicas for shard in coordinator.status().shards))
        until(lambda: list(coordinator.status().routers))
        status = coordinator.status()
        [shard], [router] = status.shards, status.routers
        metrics = {
            "coordinator": status.metrics_address,
            "primary": shard.primary.member.metrics_address,
            "replica": shard.replicas[0].member.metrics_address,
            "router": router.member.metrics_address,
        }
        yield Cluster(coordinator, nodes[0], nodes[1], nodes[2], metrics)
    finally:
        for node in reversed(nodes):
            node.kill()
        coordinator.kill()


def moves(look: Callable[[], float], change: Callable[[], object]) -> None:
    """``change`` makes the figure another one, and it was there before."""
    before = look()
    assert before == before, "there is no such metric"
    change()
    until(lambda: look() != before, SECONDS)


@pytest.mark.parametrize("role", ["coordinator", "primary", "replica", "router"])
def test_promtool_finds_nothing(cluster: Cluster, role: str) -> None:
    put(cluster.router, b"lint", b"v")
    code, said = promtool("check", "metrics", content=scrape(cluster.metrics[role]))
    assert (code, said) == (0, "")


@pytest.mark.parametrize("program", sorted(collectors()))
def test_promtool_finds_nothing_when_a_program_has_all_it_may_have(program: str) -> None:
    """What a small cluster has no reason to show: operations, moves, checks, an operator."""
    server = MetricsServer("127.0.0.1:0")
    try:
        for collector in collectors()[program]:
            server.register(collector)
        code, said = promtool("check", "metrics", content=scrape(server.address))
        assert (code, said) == (0, "")
    finally:
        server.close()


@pytest.mark.parametrize("role", ["primary", "router"])
def test_requests_are_counted_by_method_and_code(cluster: Cluster, role: str) -> None:
    node = {"primary": cluster.primary, "router": cluster.router}[role]
    labels = {"method": "Put", "code": "OK", "role": role}
    moves(
        lambda: value(cluster.metrics[role], "aidb_requests_total", **labels),
        lambda: put(node, b"counted", b"v"),
    )
    refused = {"method": "Put", "code": "KEY_EMPTY", "role": role}
    assert refusal(lambda: put(node, b"", b"v")).code == common.KEY_EMPTY
    until(lambda: value(cluster.metrics[role], "aidb_requests_total", **refused) == 1)


@pytest.mark.parametrize("role", ["primary", "replica", "router"])
def test_durations_of_requests_are_measured(cluster: Cluster, role: str) -> None:
    node = {"primary": cluster.primary, "replica": cluster.replica, "router": cluster.router}[role]
    for part in ("count", "sum"):
        name = f"aidb_request_duration_seconds_{part}"
        # Seldom ones are timed one by one.
        moves(lambda: value(cluster.metrics[role], name, method="Get"), lambda: get(node, b"timed"))  # noqa: B023


def test_requests_of_a_pipeline_are_counted_one_by_one(cluster: Cluster) -> None:
    name, labels = "aidb_requests_total", {"method": "Get", "code": "OK"}
    before = value(cluster.metrics["primary"], name, **labels)
    asked = [pb.PipelineRequest(id=number, get=pb.GetRequest(key=b"key")) for number in range(100)]
    assert len(list(cluster.primary.storage.Pipeline(iter(asked), timeout=10))) == 100
    until(lambda: value(cluster.metrics["primary"], name, **labels) >= before + 100)
    timed = value(cluster.metrics["primary"], "aidb_request_duration_seconds_count", method="Get")
    assert timed <= value(cluster.metrics["primary"], name, method="Get"), (
        "none stands for more than there were"
    )


def test_keys_and_bytes_grow(cluster: Cluster) -> None:
    moves(
        lambda: value(cluster.metrics["primary"], "aidb_keys"),
        lambda: put(cluster.primary, b"key-%d" % time.monotonic_ns(), b"v"),
    )

    def write_much() -> None:
        for number in range(20):
            put(cluster.primary, b"large-%d" % number, bytes(200_000))
        cluster.primary.node.Flush(node_pb2.FlushRequest(), timeout=30)

    moves(lambda: value(cluster.metrics["primary"], "aidb_data_size_bytes"), write_much)


def test_shards_and_replicas_are_counted(cluster: Cluster, tmp_path: Path) -> None:
    coordinator = cluster.metrics["coordinator"]
    assert value(coordinator, "aidb_shards") == 1
    second: list[NodeProcess] = []

    def another() -> None:
        second.append(
            NodeProcess(
                cluster.coordinator.address, tmp_path / "r", role="replica", name="another-replica"
            ).ready()
        )

    try:
        moves(lambda: value(coordinator, "aidb_replicas_per_shard", shard="0"), another)
        assert value(coordinator, "aidb_replicas_per_shard", shard="0") == 2
    finally:
        for node in second:
            node.kill()


def test_the_cache_tells_of_hits_misses_and_its_size(cluster: Cluster) -> None:
    replica = cluster.metrics["replica"]
    put(cluster.primary, b"cached", b"v" * 1000)
    for name in ("aidb_cache_misses_total", "aidb_cache_size_bytes"):
        key = b"cached-%d" % time.monotonic_ns()
        put(cluster.primary, key, b"v" * 1000)
        moves(lambda: value(replica, name), lambda: get(cluster.replica, key))  # noqa: B023
    get(cluster.replica, b"cached")
    moves(lambda: value(replica, "aidb_cache_hits_total"), lambda: get(cluster.replica, b"cached"))


def test_a_backup_has_its_time_and_duration(cluster: Cluster) -> None:
    primary = cluster.metrics["primary"]

    def back_up() -> None:
        put(cluster.primary, b"before the backup", b"%d" % time.monotonic_ns())
        cluster.primary.node.Backup(node_pb2.BackupRequest(), timeout=30)

    moves(lambda: value(primary, "aidb_backup_last_success_timestamp_seconds"), back_up)
    until(lambda: value(primary, "aidb_backup_duration_seconds") > 0)
    assert abs(value(primary, "aidb_backup_last_success_timestamp_seconds") - time.time()) < 600
    assert value(primary, "aidb_backup_interval_seconds") == 3600


def test_syncs_of_the_log_are_timed(cluster: Cluster) -> None:
    primary = cluster.metrics["primary"]
    for part in ("count", "sum"):
        moves(
            lambda: value(primary, f"aidb_log_sync_seconds_{part}"),  # noqa: B023
            lambda: put(cluster.primary, b"synced", b"v"),
        )


def test_what_writers_may_have_to_wait_for_is_told(cluster: Cluster) -> None:
    """That they count is tested where it can be made to happen: node/lsm/tests/engine/following.rs."""
    primary = cluster.metrics["primary"]
    for name in ("stalls_total", "stall_seconds_total", "stalled", "compaction_debt_bytes"):
        assert value(primary, f"aidb_{name}") >= 0, name
    assert value(primary, "aidb_log_bytes") > 0


def test_requests_that_are_inside_are_told(cluster: Cluster) -> None:
    for role in ("primary", "replica", "router"):
        for name in ("aidb_requests_in_flight", "aidb_in_flight_bytes"):
            assert value(cluster.metrics[role], name) >= 0, (role, name)


def test_the_archive_and_the_caches_say_how_far_behind_they_are(cluster: Cluster) -> None:
    put(cluster.primary, b"archived", b"v")
    for name in ("aidb_archive_lag_bytes", "aidb_archive_lag_seconds"):
        until(lambda: value(cluster.metrics["primary"], name) == 0, SECONDS)  # noqa: B023
    assert value(cluster.metrics["replica"], "aidb_replica_staleness_seconds") >= 0


def test_a_client_counts_its_calls(cluster: Cluster) -> None:
    metrics = ClientMetrics()
    server = MetricsServer("127.0.0.1:0")
    try:
        server.register(metrics)
        with aidb.connect(cluster.coordinator.address, metrics=metrics) as db:
            db.put(b"seen", b"v")
            assert db.get(b"seen") == b"v"
            assert [entry.key for entry in db.scan(prefix=b"seen")] == [b"seen"]
        for method in ("put", "get", "scan"):
            for name in ("requests_total", "sent_requests_total", "request_duration_seconds_count"):
                assert value(server.address, f"aidb_client_{name}", method=method) >= 1, (name, method)
        code, said = promtool("check", "metrics", content=scrape(server.address))
        assert (code, said) == (0, "")
    finally:
        server.close()


def test_a_lease_that_nobody_renews_gets_old(cluster: Cluster) -> None:
    """The last one here: afterwards there is no coordinator."""
    primary = cluster.metrics["primary"]
    until(lambda: value(primary, "aidb_lease_age_seconds") < 1, SECONDS)
    cluster.coordinator.process.kill()
    until(lambda: value(primary, "aidb_lease_age_seconds") > 1.5, SECONDS)
