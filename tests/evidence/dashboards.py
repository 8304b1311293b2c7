"""Every query of every dashboard, asked of a real Prometheus that scraped a local cluster under load: none is
empty.

A round: three shards with two replicas each, traffic through members and a router, and one more shard. The
operator's figures are those of its own counters, turned as its reconcile turns them: without Kubernetes.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidb_operator.metrics import Metrics as OperatorMetrics

import aidb
from aidb.cli.top.seen import members
from aidb.local.cluster import LocalCluster
from aidb.metrics import MetricsServer
from aidb.v1 import cluster_pb2 as pb
from aidb.v1.cluster_pb2_grpc import CoordinationStub
from tests.evidence.local import local_cluster
from tests.evidence.report import Report, options
from tests.monitoring.server import Prometheus, scraping
from tools.generate_dashboards import filled, queries

KEYS, VALUE_BYTES = 2_000, 2_000
MOVED_SECONDS = 240.0
# Prometheus needs two samples for a rate.
AFTERWARDS_SECONDS = 5.0


def main() -> int:
    chosen = options("dashboards")
    report = Report("dashboards", chosen.seed)
    for number in range(chosen.rounds):
        with local_cluster("dashboards") as cluster, tempfile.TemporaryDirectory() as scratch:
            asked, empty = one_round(cluster, Path(scratch), chosen.seed + number)
        report.numbers["queries"] += asked
        report.numbers["empty"] += len(empty)
        report.round(f"queries={asked}", [f"empty: {one}" for one in empty])
    print(report.last_line())
    return report.exit_code(chosen.rounds)


def one_round(cluster: LocalCluster, scratch: Path, seed: int) -> tuple[int, list[str]]:
    """How many queries there are, and those that gave nothing."""
    began = time.time()
    with operator_figures() as operator, coordination(cluster) as stub:
        status: pb.ClusterStatus = stub.GetClusterStatus(pb.GetClusterStatusRequest(), timeout=10)
        nodes = [one.member.metrics_address for one in members(status)]
        # That of the shard that comes is known only when it is there.
        targets = {"node": nodes, "coordinator": [status.metrics_address], "operator": [operator]}
        with scraping(scratch, targets) as prometheus, traffic(cluster, status, seed):
            stub.StartOperation(pb.StartOperationRequest(kind="add_shard"), timeout=10)
            cluster_is_still(stub)
            time.sleep(AFTERWARDS_SECONDS)
            problems = prometheus.unscraped()
            return judge(prometheus, began, problems)


def judge(prometheus: Prometheus, began: float, problems: list[str]) -> tuple[int, list[str]]:
    every = list(queries())
    for name, panel, expression in every:
        if not prometheus.values(filled(expression, "10s"), began):
            problems.append(f"{name} / {panel}: {expression}")
    return len(every), problems


def cluster_is_still(stub: CoordinationStub) -> None:
    end = time.monotonic() + MOVED_SECONDS
    while time.monotonic() < end:
        operations = stub.ListOperations(pb.ListOperationsRequest(), timeout=10).operations
        if all(one.state in ("done", "failed", "cancelled") for one in operations):
            return
        time.sleep(0.5)
    raise RuntimeError("the new shard has not got its slots in time")


@contextmanager
def coordination(cluster: LocalCluster) -> Iterator[CoordinationStub]:
    import grpc

    with grpc.insecure_channel(cluster.address) as channel:
        yield CoordinationStub(channel)


@contextmanager
def traffic(cluster: LocalCluster, status: pb.ClusterStatus, seed: int) -> Iterator[None]:
    """Puts, gets, deletes, batches and refused conditions: straight to the members, and by a router."""
    stop = threading.Event()
    router = status.routers[0].member.address
    askers = [
        threading.Thread(target=_ask, args=(cluster.address, True, seed, stop)),
        threading.Thread(target=_ask, args=(router, False, seed + 1, stop)),
    ]
    for asker in askers:
        asker.start()
    try:
        yield
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def _ask(address: str, direct: bool, seed: int, stop: threading.Event) -> None:
    rng = random.Random(seed)
    with aidb.connect(address, direct=direct) as client:
        while not stop.is_set():
            key = b"key-%d" % rng.randrange(KEYS)
            try:
                client.put(key, rng.randbytes(VALUE_BYTES))
                for _ in range(4):
                    client.get(b"key-%d" % rng.randrange(KEYS))
                client.get_many([b"key-%d" % rng.randrange(KEYS) for _ in range(8)])
                client.delete(b"key-%d" % rng.randrange(KEYS))
                client.put(key, b"never", if_version=1)
            except aidb.AidbError:
                continue


@contextmanager
def operator_figures() -> Iterator[str]:
    """The address of the operator's counters, which count."""
    stop = threading.Event()
    metrics = OperatorMetrics(lambda: 1.0, lambda: 1, lambda: True)
    server = MetricsServer("127.0.0.1:0")
    server.register(metrics)

    def turn() -> None:
        while not stop.wait(0.2):
            metrics.turn(0.02, failed=False)
            metrics.called("patch", "StatefulSet", 200)

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        yield server.address
    finally:
        stop.set()
        turning.join()
        server.close()


if __name__ == "__main__":
    sys.exit(main())
