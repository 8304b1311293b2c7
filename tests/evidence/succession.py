"""A shard whose primary is succeeded again and again: bare processes, provisioned by the harness as an
operator would. Each incarnation has a directory of its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

import grpc

import aidb
from aidb.client import Client
from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.local.ports import free_ports
from aidb.objects.file import FileStore
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from aidb.v1 import storage_pb2, storage_pb2_grpc
from tests.evidence.processes import Program
from tests.evidence.status import wait_whole

T = TypeVar("T")
WHOLE_SECONDS = 60.0
RETRY = aidb.Retry(read_attempt_timeout=0.5, budget=10_000.0, per_second=1000.0, attempts=1000)
UID = "evidence"


class NotInTime(Exception):
    """Says what did not happen."""


class Succession:
    """A context manager. Times in seconds. ``grace``: after which the coordinator wants a takeover."""

    def __init__(
        self,
        root: Path,
        *,
        replicas: int = 1,
        lease: float = 1.0,
        grace: float = 0.3,
        archive_every: float = 0.2,
        snapshot_every: float = 5.0,
        same_machine: bool = False,
        durability: str = "async",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.lease = lease
        self.durability = durability
        self.root = root
        self.objects = root / "objects"
        self._replica_count = replicas
        self._environment = environment
        self._primary_options = (
            *("--objects", self.objects.as_uri(), "--archive-every", str(archive_every)),
            *("--snapshot-every", str(snapshot_every), "--tail-same-node"),
        )
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        lease_ms = round(lease * 1000)
        self.coordinator = Program(
            "coordinator",
            [
                *("-m", "aidb_coordinator", "--data", str(root / "coordinator"), "--listen", self.address),
                *("--shards", "1", "--cluster-uid", UID, "--objects", self.objects.as_uri()),
                *("--lease-ms", str(lease_ms), "--heartbeat-ms", str(lease_ms // 10)),
                *("--heartbeat-timeout-ms", str(lease_ms // 2), "--probe-period-ms", str(lease_ms // 5)),
                *("--probe-timeout-ms", str(lease_ms // 3), "--takeover-grace", str(grace)),
                *("--durability", durability, "--tail-same-node"),
                *(("--same-machine",) if same_machine else ()),
            ],
            root,
        )
        self.replicas: list[Program] = []
        self.primaries: dict[int, Program] = {}
        self.catalog = Catalog(FileStore(self.objects), Names(UID, 0))

    def __enter__(self) -> Self:
        try:
            self.coordinator.start()
            self.primary(1).start()
            for number in range(self._replica_count):
                replica = self._node("replica", f"shard-0-replica-{number}", "--listen", "127.0.0.1:0")
                self.replicas.append(replica)
                replica.start()
            self.wait_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for program in (*self.replicas, *self.primaries.values(), self.coordinator):
            program.stop()

    def primary(self, incarnation: int) -> Program:
        """Not started yet, if it is new."""
        if incarnation not in self.primaries:
            name = "shard-0-primary" if incarnation == 1 else f"shard-0-primary-{incarnation}"
            self.primaries[incarnation] = self._node(
                "primary",
                name,
                *("--listen", "127.0.0.1:0", "--data", str(self.directory(incarnation))),
                *("--incarnation", str(incarnation)),
                *self._primary_options,
            )
        return self.primaries[incarnation]

    def directory(self, incarnation: int) -> Path:
        return self.root / f"shard-0.{incarnation}"

    def discard(self, incarnation: int) -> None:
        """Of an incarnation that is over: its process and its directory."""
        self.primaries.pop(incarnation).stop()
        shutil.rmtree(self.directory(incarnation))

    def shard(self) -> pb.Shard:
        """Of the topology as the coordinator has it; waits for one that restarts."""

        def ask() -> pb.Shard | None:
            with grpc.insecure_channel(self.address) as channel:
                stub = rpc.DiscoveryStub(channel)
                try:
                    view: pb.ClusterView = stub.GetTopology(pb.GetTopologyRequest(), timeout=2)
                except grpc.RpcError:
                    return None
                return view.topology.shards[0]

        return self.until("the coordinator answers", ask)

    def want(self, *, planned: bool) -> int:
        """The incarnation that is wanted now."""
        with grpc.insecure_channel(self.address) as channel:
            stub = rpc.CoordinationStub(channel)
            answer: pb.WantSuccessorResponse = stub.WantSuccessor(
                pb.WantSuccessorRequest(shard=0, planned=planned, reason="evidence"), timeout=10
            )
            return answer.incarnation

    def wanted(self) -> int:
        """Waits until the coordinator wants the next incarnation by itself."""
        return self.until(
            "a takeover is wanted",
            lambda: (shard := self.shard()).HasField("successor") and shard.successor.incarnation,
        )

    def stats(self, address: str) -> storage_pb2.GetStatsResponse | None:
        with grpc.insecure_channel(address) as channel:
            stub = storage_pb2_grpc.StorageStub(channel)
            try:
                answer: storage_pb2.GetStatsResponse = stub.GetStats(storage_pb2.GetStatsRequest(), timeout=2)
            except grpc.RpcError:
                return None
            return answer

    def wait_whole(self) -> None:
        """Every member healthy, a snapshot there. Raises NotInTime."""
        problem = wait_whole(self.address, self._replica_count, WHOLE_SECONDS)
        if problem:
            raise NotInTime(f"{problem}; {self._last_words()}")
        self.until("there is a snapshot", lambda: self.catalog.newest_claim() and self._has_snapshot())

    def until(self, what: str, condition: Callable[[], T | None], seconds: float = WHOLE_SECONDS) -> T:
        """The first true value of ``condition``. Raises NotInTime."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                raise NotInTime(f"after {seconds:.0f} s still not so: {what}; {self._last_words()}")
            time.sleep(0.01)
        return value

    def connect(self, timeout: float) -> Client:
        return aidb.connect(self.address, timeout=timeout, retry=RETRY)

    def _has_snapshot(self) -> bool:
        return any(self.catalog.manifests(epoch) for epoch in self.catalog.claimed())

    def _node(self, role: str, name: str, *options: str) -> Program:
        common = ("--coordinator", self.address, "--name", name, "--shard", "0")
        return Program(name, ["-m", "aidb_node", role, *common, *options], self.root, self._environment)

    def _last_words(self) -> str:
        programs = (self.coordinator, *self.primaries.values(), *self.replicas)
        return "; ".join(f"{program.name}: {program.last_words()}" for program in programs)
