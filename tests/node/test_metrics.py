"""`/metrics` of nodes and coordinator: they move when what they count does."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put

METRICS = ("--metrics", "127.0.0.1:0")


def scrape(address: str) -> dict[str, float]:
    """Values by sample name, added up over their labels."""
    sums: dict[str, float] = {}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[CoordinatorProcess, NodeProcess, NodeProcess]]:
    """A shard with a cache."""
    data = tmp_path_factory.mktemp("metrics")
    coordinator = CoordinatorProcess(data / "coordinator", "--shards", "1", *METRICS, *FAST)
    primary = NodeProcess(coordinator.address, data / "shard-0", *METRICS).ready()
    replica = NodeProcess(coordinator.address, data / "replica", *METRICS, role="replica").ready()
    yield coordinator, primary, replica
    for process in (replica, primary, coordinator):
        process.kill()


def test_what_is_counted_moves(nodes: tuple[CoordinatorProcess, NodeProcess, NodeProcess]) -> None:
    coordinator, primary, replica = nodes
    until(lambda: all(shard.replicas for shard in coordinator.status().shards))
    shard = coordinator.status().shards[0]
    of_primary, of_replica = shard.primary.member.metrics_address, shard.replicas[0].member.metrics_address
    before = scrape(of_primary)
    put(primary, b"k", b"v")
    get(replica, b"k")
    until(lambda: get(replica, b"k").value == b"v" and scrape(of_replica)["aidb_cache_hits_total"] > 0)
    after = scrape(of_primary)
    assert after["aidb_requests_total"] > before["aidb_requests_total"]
    assert after["aidb_visible_lsn"] > before["aidb_visible_lsn"] and after["aidb_keys"] == 1
    cache = scrape(of_replica)
    assert cache["aidb_cache_entries"] == 1 and cache["aidb_replica_connected"] == 1
    assert 0 <= cache["aidb_replica_staleness_seconds"] < 60


def test_the_coordinator_tells_of_the_cluster(
    nodes: tuple[CoordinatorProcess, NodeProcess, NodeProcess],
) -> None:
    coordinator, _, _ = nodes
    address = coordinator.status().metrics_address
    until(lambda: scrape(address)["aidb_replicas_per_shard"] == 1)
    found = scrape(address)
    assert (found["aidb_shards"], found["aidb_term"]) == (1, 1)


def test_silent_clients_keep_nobody_waiting(
    nodes: tuple[CoordinatorProcess, NodeProcess, NodeProcess],
) -> None:
    coordinator, _, _ = nodes
    host, _, port = coordinator.status().metrics_address.rpartition(":")
    held = [socket.create_connection((host, int(port))) for _ in range(20)]
    assert scrape(f"{host}:{port}")["aidb_shards"] == 1
    for connection in held:
        connection.close()


def test_a_busy_or_wrong_address_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", "nonsense"):
            node = NodeProcess("127.0.0.1:1", tmp_path / "node", "--metrics", address, role="router")
            assert node.exit_code() == 2
    assert "cannot serve metrics on nonsense" in node.log.read_text()
