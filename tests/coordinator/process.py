"""A coordinator as a process of its own, and fake members that speak gRPC to it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
from aidb_coordinator.topology import MOVES_LEVEL

from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc

T = TypeVar("T")
FAST = (
    "--heartbeat-ms",
    "50",
    "--heartbeat-timeout-ms",
    "1000",
    "--probe-period-ms",
    "50",
    "--probe-timeout-ms",
    "500",
)


def until(condition: Callable[[], T], seconds: float = 20.0) -> T:
    """Waits for a true value of `condition`; fails the test when none comes."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"nothing came of {condition} in {seconds} s"
        time.sleep(0.01)
    return value


class CoordinatorProcess:
    def __init__(
        self, data: Path, *arguments: str, listen: str = "127.0.0.1:0", log: Path | None = None
    ) -> None:
        command = [sys.executable, "-m", "aidb_coordinator", "--data", str(data), "--listen", listen]
        with contextlib.ExitStack() as stack:
            errors_to = subprocess.PIPE if log is None else stack.enter_context(log.open("a"))
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=subprocess.PIPE, stderr=errors_to, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            raise StartFailed(self.process.returncode, errors)
        self.ready: dict[str, Any] = json.loads(line)
        self.address: str = self.ready["address"]
        self.channel = grpc.insecure_channel(self.address)
        self.coordination = rpc.CoordinationStub(self.channel)
        self.discovery = rpc.DiscoveryStub(self.channel)

    def topology(self) -> pb.Topology:
        view: pb.ClusterView = self.discovery.GetTopology(pb.GetTopologyRequest(), timeout=10)
        return view.topology

    def status(self) -> pb.ClusterStatus:
        status: pb.ClusterStatus = self.coordination.GetClusterStatus(
            pb.GetClusterStatusRequest(), timeout=10
        )
        return status

    def member_state(self, name: str) -> int:
        view: pb.ClusterView = self.discovery.GetTopology(pb.GetTopologyRequest(), timeout=10)
        return {member.name: member.state for member in view.health.members}[name]

    def reasons(self) -> list[str]:
        answer: pb.ListEventsResponse = self.coordination.ListEvents(
            pb.ListEventsRequest(limit=1000), timeout=10
        )
        return [event.reason for event in answer.events]

    def kill(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode


class StartFailed(Exception):
    def __init__(self, code: int, errors: str) -> None:
        super().__init__(f"exit {code}: {errors}")
        self.code = code
        self.errors = errors


class FakeMember:
    """Registers and heartbeats like a node. Its health service runs only when a test starts one at
    `address`.
    """

    def __init__(self, name: str, role: int, address: str, shard: int = 0) -> None:
        self.name, self.role, self.address, self.shard = name, role, address, shard
        self.process_id = uuid.uuid4().hex
        self.disk_id = uuid.uuid4().hex
        self.epoch = 0
        self.term = 0

    def register(self, coordinator: CoordinatorProcess, **changes: Any) -> pb.RegisterResponse:
        request = pb.RegisterRequest(
            member=pb.Member(
                name=self.name,
                address=self.address,
                role=self.role,  # type: ignore[arg-type]
                shard=self.shard,
                feature_max=MOVES_LEVEL,
            ),
            shard=self.shard,
            process_id=self.process_id,
            pid=4711,
            wall_clock_ms=time.time_ns() // 1_000_000,
        )
        if self.role == pb.ROLE_PRIMARY:
            request.disk_id = self.disk_id
            request.disk_epoch = self.epoch
            request.pending_epoch = self.epoch + 1
        for field, value in changes.items():
            setattr(request, field, value)
        answer: pb.RegisterResponse = coordinator.coordination.Register(request, timeout=10)
        self.epoch, self.term = answer.epoch, answer.term
        return answer

    def heartbeat(self, coordinator: CoordinatorProcess, **changes: Any) -> pb.HeartbeatResponse:
        request = pb.HeartbeatRequest(
            name=self.name,
            process_id=self.process_id,
            role=self.role,  # type: ignore[arg-type]
            shard=self.shard,
            epoch=self.epoch,
            term=self.term,
            wall_clock_ms=time.time_ns() // 1_000_000,
            state=pb.MEMBER_HEALTHY,
            pid=4711,
        )
        for field, value in changes.items():
            setattr(request, field, value)
        answer: pb.HeartbeatResponse = coordinator.coordination.Heartbeat(request, timeout=10)
        return answer
