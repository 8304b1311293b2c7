"""A shard with its replicas and coordinator as bare processes, its primary behind the proxy.

`aidb up` is not used here: the lease is shorter than a user's, the primary advertises the proxy's address,
and the harness itself restarts what it kills. How users run it is what `restart` tests.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aidb
from aidb.client import Client
from aidb.local.ports import free_ports
from tests.evidence.peers import connected_from
from tests.evidence.processes import Program
from tests.evidence.proxy import Proxy
from tests.evidence.status import wait_whole

WHOLE_SECONDS = 60.0
RETRY = aidb.Retry(read_attempt_timeout=0.4, budget=1000.0, per_second=100.0)


class NotWhole(Exception):
    """The cluster did not come together: says what is missing."""


class ShardCluster:
    """A context manager. ``lease`` in seconds."""

    def __init__(
        self,
        root: Path,
        rng: random.Random,
        *,
        replicas: int = 2,
        lease: float = 1.5,
        node_environment: Mapping[str, str] | None = None,
    ) -> None:
        self.lease = lease
        self._replica_count = replicas
        coordinator_port, primary_port = free_ports(2)
        self.address = f"127.0.0.1:{coordinator_port}"
        lease_ms = round(lease * 1000)
        self.coordinator = Program(
            "coordinator",
            [
                *("-m", "aidb_coordinator", "--data", str(root / "coordinator"), "--listen", self.address),
                *("--shards", "1", "--lease-ms", str(lease_ms), "--heartbeat-ms", str(lease_ms // 10)),
                *("--heartbeat-timeout-ms", str(lease_ms // 2), "--probe-period-ms", str(lease_ms // 5)),
                *("--probe-timeout-ms", str(lease_ms // 3)),
            ],
            root,
        )
        self.proxy = Proxy(primary_port, self._owner, rng)
        self._node = ("-m", "aidb_node")
        self._root = root
        self._primary_port = primary_port
        self._environment = node_environment
        self.primary: Program
        self.replicas: list[Program] = []

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for program in (
            *self.replicas,
            *([self.primary] if hasattr(self, "primary") else []),
            self.coordinator,
        ):
            program.stop()
        self.proxy.__exit__()

    def wait_whole(self) -> None:
        """Raises NotWhole when that takes longer than a minute."""
        problem = wait_whole(self.address, self._replica_count, WHOLE_SECONDS)
        if problem:
            words = [f"{program.name}: {program.last_words()}" for program in (self.primary, *self.replicas)]
            raise NotWhole(f"{problem}; " + "; ".join(words))

    def connect(self, balance: aidb.ReadBalance, patience: float) -> Client:
        """A client whose calls may take ``patience`` leases; with little, some outcomes stay unknown."""
        return aidb.connect(self.address, balance=balance, timeout=self.lease * patience, retry=RETRY)

    def _start(self) -> None:
        self.coordinator.start()
        self.primary = self._program(
            "shard-0-primary",
            ["--data", str(self._root / "shard-0"), "--advertise", f"127.0.0.1:{self.proxy.port}"],
            f"127.0.0.1:{self._primary_port}",
        )
        self.primary.start()
        for number in range(self._replica_count):
            replica = self._program(f"shard-0-replica-{number}", [], "127.0.0.1:0")
            self.replicas.append(replica)
            replica.start()
        self.wait_whole()

    def _program(self, name: str, options: list[str], listen: str) -> Program:
        role = name.split("-")[2]
        common = [role, "--coordinator", self.address, "--name", name, "--shard", "0", "--listen", listen]
        return Program(name, [*self._node, *common, *options], self._root, self._environment)

    def _owner(self, port: int, to_port: int) -> str:
        names = {replica.pid: replica.name for replica in self.replicas}
        return names.get(connected_from(names, port, to_port), "client")
