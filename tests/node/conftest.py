from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coordinator.process import FAST, CoordinatorProcess
from tests.node.process import NodeProcess


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    started = CoordinatorProcess(tmp_path_factory.mktemp("coordinator"), "--shards", "2", *FAST)
    yield started
    started.kill()


@pytest.fixture(scope="module")
def primary(
    coordinator: CoordinatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """The primary of shard 0 of two: it owns half of the slots."""
    node = NodeProcess(coordinator.address, tmp_path_factory.mktemp("node") / "shard-0").ready()
    yield node
    node.kill()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    """A coordinator of one shard for one test."""
    started = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *FAST)
    yield started
    started.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    """The same of two."""
    started = CoordinatorProcess(tmp_path / "coordinator", "--shards", "2", *FAST)
    yield started
    started.kill()
