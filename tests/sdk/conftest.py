from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import aidb
from tests.coordinator.process import FAST, CoordinatorProcess
from tests.node.process import NodeProcess


@dataclass
class Cluster:
    """Two shards, two cache replicas each, as real processes."""

    directory: Path
    coordinator: CoordinatorProcess
    primaries: list[NodeProcess] = field(default_factory=list)
    replicas: list[NodeProcess] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.coordinator.address

    def start_primary(self, shard: int, listen: str = "127.0.0.1:0") -> NodeProcess:
        return NodeProcess(
            self.address, self.directory / f"shard-{shard}", listen=listen, shard=shard
        ).ready()

    def kill(self) -> None:
        for node in [*self.replicas, *self.primaries]:
            node.kill()
        self.coordinator.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    made = Cluster(directory, CoordinatorProcess(directory / "coordinator", "--shards", "2", *FAST))
    try:
        made.primaries = [made.start_primary(shard) for shard in range(2)]
        for shard in range(2):
            for number in range(2):
                name = f"shard-{shard}-replica-{number}"
                made.replicas.append(
                    NodeProcess(
                        made.address, directory / name, shard=shard, role="replica", name=name
                    ).ready()
                )
        yield made
    finally:
        made.kill()


@pytest.fixture
def db(cluster: Cluster) -> Iterator[aidb.KeyValue]:
    with aidb.connect(cluster.address) as connected:
        yield connected
