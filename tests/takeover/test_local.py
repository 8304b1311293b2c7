"""A local cluster whose shard loses its primary's disk, is taken over, and handed over: as users run it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aidb_node.identity import FILE as IDENTITY
from aidb_node.identity import STORE

from aidb.local.processes import find
from tests.backup.test_cluster import everything, wait_until_archived, write
from tests.cli.admin import admin
from tests.cli.command import Command
from tests.coordinator.process import until


@pytest.fixture
def aidb(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, tmp_path / "data")
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 1)
    yield command
    command.run("down")


def shard(aidb: Command) -> Any:
    return aidb.document("status")["shards"][0]


def running(aidb: Command) -> set[str]:
    uid = json.loads((aidb.data / "local.json").read_bytes())["cluster_uid"]
    return {found.name for found in find(uid) if "primary" in found.name}


def test_a_lost_disk_is_taken_over_and_the_next_one_handed_over(aidb: Command) -> None:
    written = write(aidb, "a", 300)
    admin(aidb, "backup")
    written |= write(aidb, "b", 100)
    wait_until_archived(aidb)
    assert "hand-over loses nothing" in admin(aidb, "take-over", "--shard", 0, code=1)

    pid = aidb.pids()["shard-0-primary"]
    identity = (aidb.data / "shard-0" / IDENTITY).read_bytes()
    shutil.rmtree(aidb.data / "shard-0")
    os.kill(pid, signal.SIGKILL)
    until(lambda: shard(aidb)["state"] == "Stopped")
    assert "can hand nothing over" in admin(aidb, "hand-over", "--shard", 0, code=1)
    taken = admin(aidb, "take-over", "--shard", 0)
    assert (taken["incarnation"], taken["planned"], taken["published"]) == (2, False, True)
    assert everything(aidb) == written
    written |= write(aidb, "c", 100)
    # The disk is found again.
    (aidb.data / "shard-0" / STORE).mkdir(parents=True, exist_ok=True)
    (aidb.data / "shard-0" / IDENTITY).write_bytes(identity)

    handed = admin(aidb, "hand-over", "--shard", 0)
    assert (handed["incarnation"], handed["planned"], handed["published"]) == (3, True, True)
    assert handed["epoch"] > taken["epoch"]
    assert everything(aidb) == written
    until(lambda: running(aidb) == {"shard-0-primary-3"})
    until(lambda: not (aidb.data / "shard-0.2").exists())
    assert (aidb.data / "shard-0").exists(), "only what was handed over in order may go"

    written |= write(aidb, "d", 50)
    aidb("down")
    aidb("up", "--detach")
    assert everything(aidb) == written
    assert running(aidb) == {"shard-0-primary-3"}
    assert shard(aidb)["incarnation"] == 3
    assert [one["problems"] for one in admin(aidb, "verify")] == [[], []]
