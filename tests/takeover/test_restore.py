"""`aidb-admin restore`: a local cluster goes back while its supervisor and coordinator run (D9)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.test_cluster import everything, wait_until_archived, write
from tests.backup.test_whole_cluster import moment
from tests.cli.admin import admin
from tests.cli.command import Command


@pytest.fixture
def aidb(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, tmp_path / "data")
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 0)
    yield command
    command.run("down")


@pytest.mark.timeout(600)
def test_back_to_a_time_while_it_runs(aidb: Command) -> None:
    first = write(aidb, "a", 20)
    then = moment()
    write(aidb, "a", 30)
    wait_until_archived(aidb)
    assert "say --yes" in admin(aidb, "restore", "--to-time", then, code=2)
    assert "one shard's" in admin(aidb, "restore", "--to-lsn", 5, "--yes", code=1)
    done = admin(aidb, "restore", "--to-time", then, "--yes")
    assert (done["shards"], done["serves"]) == ([0], True)
    assert everything(aidb) == first
    assert (aidb.data / "shard-0" / "store").exists(), "it may hold what nobody else has"
    assert aidb.document("status")["shards"][0]["primary"]["name"] == "shard-0-primary-2"
