"""A real coordinator asks members for their figures, and says what it would have."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from aidb.admin.app import app
from aidb.cli.main import run
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import storage_pb2
from tests.coordinator.process import CoordinatorProcess, FakeMember, until

Start = Callable[..., CoordinatorProcess]


class BusyNode:
    """Health and figures of a program that uses `cores`, and began a minute ago."""

    def __init__(self, name: str, cores: float) -> None:
        self._name, self._cores, self._began = name, cores, time.monotonic() - 60
        self._server = grpc.server(futures.ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
        states = health.HealthServicer()
        states.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(states, self._server)
        answer = grpc.unary_unary_rpc_method_handler(
            self._stats,
            request_deserializer=storage_pb2.GetStatsRequest.FromString,
            response_serializer=storage_pb2.GetStatsResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler("aidb.v1.Storage", {"GetStats": answer})
        self._server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _stats(
        self, request: storage_pb2.GetStatsRequest, context: grpc.ServicerContext
    ) -> storage_pb2.GetStatsResponse:
        up = time.monotonic() - self._began
        return storage_pb2.GetStatsResponse(
            name=self._name,
            uptime_ms=int(up * 1000),
            cpu_us=int(up * self._cores * 1e6),
            bytes=20 << 30,
            cache=storage_pb2.CacheStats(bytes=10, capacity_bytes=100, hits=int(up * 1000), misses=int(up)),
        )

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def busy() -> Iterator[Callable[[str, float], BusyNode]]:
    nodes: list[BusyNode] = []

    def start_one(name: str, cores: float) -> BusyNode:
        nodes.append(BusyNode(name, cores))
        return nodes[-1]

    yield start_one
    for node in nodes:
        node.stop()


def test_a_busy_replica_asks_for_company(
    start: Start, busy: Callable[[str, float], BusyNode], capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator = start("--shards", "1", "--autoscale-interval", "1")
    members: list[FakeMember] = []
    for name, role, cores in (
        ("shard-0-primary", pb.ROLE_PRIMARY, 0.8),
        ("shard-0-replica-0", pb.ROLE_REPLICA, 1.9),
    ):
        member = FakeMember(name, role, busy(name, cores).address)
        member.register(coordinator)
        members.append(member)

    def scaling() -> pb.GetScalingResponse | None:
        for member in members:
            member.heartbeat(coordinator)
        answer: pb.GetScalingResponse = coordinator.coordination.GetScaling(
            pb.GetScalingRequest(), timeout=10
        )
        return answer if any(one.scale.asked > one.scale.current for one in answer.replicas) else None

    answer = until(scaling)
    assert answer is not None
    assert answer.mode == "recommend"
    assert (answer.shards.current, answer.shards.wanted) == (1, 1)
    replicas = answer.replicas[0]
    assert (replicas.shard, replicas.scale.current, replicas.scale.asked) == (0, 1, 2)
    # 1.9 of 2 cores, as far as the times of two looks are told exactly.
    assert re.search(r"CPU of replicas \d\d% is above 80%", replicas.scale.reasons[0])
    assert replicas.scale.reasons[-1].startswith("it changed"), "it came a moment ago"
    assert len(coordinator.topology().shards[0].replicas) == 1, "nothing is applied"

    def printed(*options: str) -> str:
        scaling()
        arguments = ["autoscale", "--address", coordinator.address, *options]
        return capsys.readouterr().out if run(arguments, app, "aidb-admin") == 0 else ""

    until(lambda: '"asked": 2' in printed("-o", "json"))
    until(lambda: "replicas of shard 0  1   2      1       CPU of replicas" in printed("--recommend"))
    assert "shards.limits.most" in printed("--settings")
    nothing = ["autoscale", "--mode", "on", "--recommend", "--address", coordinator.address]
    assert run(nothing, app, "aidb-admin") == 2


def test_without_metrics_there_is_no_decision(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    coordinator = start("--autoscale", "off")
    assert run(["autoscale", "--recommend", "--address", coordinator.address], app, "aidb-admin") == 2
    assert "is off: aidb-admin autoscale --mode recommend" in capsys.readouterr().err


def test_members_that_do_not_answer_are_missing(start: Start, busy: Callable[[str, float], BusyNode]) -> None:
    coordinator = start("--shards", "1", "--autoscale-interval", "1")
    other = busy("somebody-else", 1.9)
    member = FakeMember("shard-0-primary", pb.ROLE_PRIMARY, other.address)
    member.register(coordinator)

    def scaling() -> pb.GetScalingResponse | None:
        member.heartbeat(coordinator)
        answer: pb.GetScalingResponse = coordinator.coordination.GetScaling(
            pb.GetScalingRequest(), timeout=10
        )
        return answer if answer.samples > 1 else None

    answer = until(scaling)
    assert answer is not None
    assert answer.shards.wanted == 1
    assert "CPU of primaries is not known" in answer.shards.reasons
