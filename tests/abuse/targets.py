"""Every port of every program, and how a polite client asks there.

A new port is one more `Target` in `Cluster.targets`.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from aidb.v1 import cluster_pb2 as cluster
from aidb.v1 import storage_pb2 as storage
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put

KEY = b"polite"
ROLES = ("primary", "replica", "router")
BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
POLITE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Target:
    """A port. ``ask`` is one polite request; it raises when there is no good answer."""

    name: str
    address: str
    pid: int
    ask: Callable[[], object]

    @property
    def speaks_grpc(self) -> bool:
        return not self.name.endswith("/metrics")

    def serves(self) -> None:
        """A polite request succeeds: repeated, as clients do it, while the server says that it is busy."""
        end = time.monotonic() + POLITE_SECONDS
        while True:
            try:
                self.ask()
                return
            except grpc.RpcError as error:
                if error.code() not in BUSY or time.monotonic() > end:
                    raise AssertionError(f"{self.name} does not serve: {error.details()}") from error
            except OSError as error:
                if time.monotonic() > end:
                    raise AssertionError(f"{self.name} does not serve: {error}") from error
            time.sleep(0.02)


class Cluster:
    """A coordinator, a primary, a replica and a router. ``host``: where they listen."""

    def __init__(self, data: Path, *arguments: str, host: str = "127.0.0.1", metrics: bool = True) -> None:
        scraped = ("--metrics", f"{host}:0") if metrics else ()
        data.mkdir(parents=True, exist_ok=True)
        # A pipe would fill, and hold it back.
        self._log = data / "coordinator.log"
        self.coordinator = CoordinatorProcess(
            data / "coordinator", "--shards", "1", *scraped, *FAST, listen=f"{host}:0", log=self._log
        )
        self.nodes = {
            role: NodeProcess(
                self.coordinator.address,
                data / role,
                *scraped,
                *arguments,
                listen=f"{host}:0",
                role=role,
                name=f"{role}-0",
            ).ready()
            for role in ROLES
        }
        put(self.nodes["primary"], KEY, b"yes")
        until(self._whole)
        self.targets = [*self._grpc(), *self._metrics()]

    def target(self, name: str) -> Target:
        return next(target for target in self.targets if target.name == name)

    @property
    def processes(self) -> dict[str, int]:
        """Pids by name."""
        nodes = {role: node.process.pid for role, node in self.nodes.items()}
        return {**nodes, "coordinator": self.coordinator.process.pid}

    def running(self) -> bool:
        """Whether nothing has ended."""
        processes = [self.coordinator.process, *(node.process for node in self.nodes.values())]
        return all(process.poll() is None for process in processes)

    def stats(self, role: str) -> storage.GetStatsResponse:
        answer: storage.GetStatsResponse = self.nodes[role].storage.GetStats(
            storage.GetStatsRequest(), timeout=10
        )
        return answer

    def last_words(self) -> str:
        """What the programs have logged."""
        logs = [self._log, *(node.log for node in self.nodes.values())]
        # They quote bytes of callers.
        return "".join(log.read_text(errors="replace") for log in logs)

    def close(self) -> None:
        for node in self.nodes.values():
            node.kill()
        self.coordinator.kill()

    def _whole(self) -> bool:
        shard = self.coordinator.status().shards[0]
        return bool(shard.replicas) and get(self.nodes["replica"], KEY).value == b"yes"

    def _grpc(self) -> list[Target]:
        def asks(node: NodeProcess) -> Callable[[], object]:
            def ask() -> None:
                assert get(node, KEY).value == b"yes"

            return ask

        found = [
            Target(role, node.address, node.process.pid, asks(node)) for role, node in self.nodes.items()
        ]
        coordinator = self.coordinator
        return [
            *found,
            Target("coordinator", coordinator.address, coordinator.process.pid, coordinator.status),
        ]

    def _metrics(self) -> list[Target]:
        status: cluster.ClusterStatus = self.coordinator.status()
        shard = status.shards[0]
        addresses = {
            "primary": shard.primary.member.metrics_address,
            "replica": shard.replicas[0].member.metrics_address,
            "router": status.routers[0].member.metrics_address,
            "coordinator": status.metrics_address,
        }
        return [
            Target(f"{name}/metrics", address, self.processes[name], _scrapes(address))
            for name, address in addresses.items()
            if address
        ]


def _scrapes(address: str) -> Callable[[], object]:
    def scrape() -> None:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            assert b"aidb_" in answer.read()

    return scrape
