"""Every program of a local cluster writes records of JSON and nothing else, when asked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command
from tests.coordinator.process import until

PROGRAMS = {
    "coordinator": "aidb-coordinator",
    "router-0": "aidb-node",
    "shard-0-primary": "aidb-node",
    "shard-0-replica-0": "aidb-node",
    "supervisor": "aidb-supervisor",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    directory = tmp_path_factory.mktemp("logs")
    command = Command(directory, directory / "data")
    shape = ("--port", 0, "--shards", 1, "--replicas", 1)
    command("up", "--detach", *shape, "--log-format", "json", "--timeout", "100s")
    yield command
    command("down")


def _records(cluster: Command, name: str) -> list[dict[str, Any]]:
    # Of the last line, a part may have been written so far.
    whole = (cluster.data / "logs" / f"{name}.log").read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_records_of_each_program(cluster: Command, name: str) -> None:
    uid = json.loads((cluster.data / "local.json").read_text())["cluster_uid"]

    def of_cluster() -> list[dict[str, Any]]:
        return [one for one in _records(cluster, name) if one.get("cluster") == uid]

    # A coordinator may have nothing to say but that it serves.
    until(lambda: _records(cluster, name) if name == "coordinator" else of_cluster())
    # Acts of the audit log are JSON of their own, in any format.
    others = {"ready", "aidb_audit"}
    records = [one for one in _records(cluster, name) if not others & set(one)]
    for record in records:
        assert {"time", "level", "message"} <= set(record)
        assert (record["program"], record["member"]) == (PROGRAMS[name], name)
    if name.startswith("shard-0"):
        assert {record["shard"] for record in records} == {0}
    if name == "shard-0-primary":
        assert of_cluster()[-1]["epoch"] == 1


def test_a_program_that_cannot_start_says_so_in_json(tmp_path: Path) -> None:
    import subprocess
    import sys

    arguments = ("--data", tmp_path, "--listen", "127.0.0.1:0", "--shards", "0", "--log-format", "json")
    done = subprocess.run(
        [sys.executable, "-m", "aidb_coordinator", *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    (record,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert record["level"] == "ERROR"
    assert "shards" in record["message"]
