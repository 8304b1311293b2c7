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

from aidb.v1 import node_pb2
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.monitoring.prometheus import promtool
from tests.node.process import NodeProcess, get, put

METRICS = ("--metrics", "127.0.0.1:0")
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
    until(lambda: look() != before)


@pytest.mark.parametrize("role", ["coordinator", "primary", "replica", "router"])
def test_promtool_finds_nothing(cluster: Cluster, role: str) -> None:
    put(cluster.router, b"lint", b"v")
    code, said = promtool("check", "metrics", content=scrape(cluster.metrics[role]))
    assert (code, said) == (0, "")


@pytest.mark.parametrize("role", ["primary", "replica", "router"])
def test_requests_are_counted(cluster: Cluster, role: str) -> None:
    node = {"primary": cluster.primary, "replica": cluster.replica, "router": cluster.router}[role]
    moves(
        lambda: value(cluster.metrics[role], "aidb_requests_total", role=role),
        lambda: get(node, b"counted"),
    )


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_durations_of_reads_are_measured(cluster: Cluster, role: str) -> None:
    node = {"primary": cluster.primary, "replica": cluster.replica}[role]
    put(cluster.primary, b"timed", b"v")

    def read_often() -> None:
        # One in 32 is timed, 63 apart at most.
        for _ in range(200):
            get(node, b"timed")

    moves(lambda: value(cluster.metrics[role], "aidb_read_seconds_count"), read_often)


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
