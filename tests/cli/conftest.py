from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Command


@pytest.fixture(scope="module")
def aidb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A cluster of two shards with one replica each, in a directory of its own."""
    directory = tmp_path_factory.mktemp("cli")
    command = Command(directory, directory / "data")
    command("up", "--detach", "--port", 0, "--shards", 2, "--replicas", 1)
    yield command
    command("down")


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Command]:
    """No cluster yet; what a test starts is stopped."""
    command = Command(tmp_path, tmp_path / "data")
    yield command
    command.run("down")
