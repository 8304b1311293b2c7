from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.coordinator.process import FAST, CoordinatorProcess


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., CoordinatorProcess]]:
    """Starts coordinators on one data directory and ends them."""
    started: list[CoordinatorProcess] = []

    def start_one(*arguments: str, **options: Any) -> CoordinatorProcess:
        started.append(CoordinatorProcess(tmp_path / "coordinator", *FAST, *arguments, **options))
        return started[-1]

    yield start_one
    for coordinator in started:
        if coordinator.process.poll() is None:
            coordinator.kill()


class HealthServer:
    """What probes of a fake member find."""

    def __init__(self, port: int = 0) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self.serving(True)
        self._server.start()

    def serving(self, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        self._health.set("", states.SERVING if serving else states.NOT_SERVING)

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def health_server() -> Iterator[Callable[..., HealthServer]]:
    servers: list[HealthServer] = []

    def start_one(port: int = 0) -> HealthServer:
        servers.append(HealthServer(port))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()
