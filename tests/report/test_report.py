"""`aidb-admin report` of a secured local cluster: whole, and with half of it down. No secret and no key that
was planted is in it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aidb
from tests.cli.command import SECONDS, Command
from tests.coordinator.process import until

_ADMIN = "from aidb.admin.main import main; main()"
KEY, VALUE = "planted-user-key", "planted-user-value"
S3_KEY, S3_SECRET = "AKIAPLANTED123456789", "planted/S3/secret/0123456789"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    directory = tmp_path_factory.mktemp("report")
    command = Command(directory, directory / "data")
    shape = ("--port", 0, "--shards", 1, "--replicas", 1)
    command("up", "--detach", "--secure", *shape, "--timeout", "100s")
    yield command
    command("down")


def _report(cluster: Command, path: Path, *more: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the command prints, and the files of the archive by path."""
    done = subprocess.run(
        [sys.executable, "-c", _ADMIN, "report", "--file", str(path), "-o", "json", *more],
        capture_output=True,
        env={
            **os.environ,
            "AIDB_DATA": str(cluster.data),
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        },
        cwd=cluster.directory,
        timeout=SECONDS,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(path) as opened:
        root = path.name.partition(".")[0]
        files = {
            one.name.removeprefix(f"{root}/"): content.read().decode()
            for one in opened
            if (content := opened.extractfile(one)) is not None
        }
    return json.loads(done.stdout), files


def _plant(cluster: Command) -> list[str]:
    """Secrets where they may lie about; all that is planted."""
    token = (cluster.data / "security" / "client" / "token").read_text().strip()
    private = (cluster.data / "security" / "client" / "tls.key").read_text()
    log = cluster.data / "logs" / "shard-0-primary.log"
    with log.open("a") as file:
        file.write(f"a call with Bearer {token}, and {S3_SECRET}\nsecret_access_key: {S3_KEY}\n{private}\n")
    return [token, private, private.splitlines()[1], KEY, VALUE, S3_KEY, S3_SECRET]


def test_a_whole_cluster_and_half_of_one(cluster: Command, tmp_path: Path) -> None:
    security = cluster.data / "security" / "client"
    address = json.loads((cluster.data / "local.json").read_text())["ports"]["coordinator"]
    tls = aidb.Tls(security, token_file=security / "token")
    with aidb.connect(f"127.0.0.1:{address}", tls=tls, timeout=60) as db:
        for number in range(200):
            db.put(f"{KEY}-{number % 5}".encode(), VALUE.encode())
            db.get(f"{KEY}-{number % 5}".encode())
    planted = _plant(cluster)

    said, files = _report(cluster, tmp_path / "whole.tar.gz")
    assert said["missing"] == []
    assert {
        "report.json",
        "versions.json",
        "findings.json",
        "findings.txt",
        *(f"coordinator/{name}.json" for name in ("status", "topology", "operations", "moves", "events")),
        *(f"local/{name}.json" for name in ("description", "processes", "supervisor")),
        *(f"metrics/{name}.prom" for name in ("coordinator", "router-0", "shard-0-primary")),
        *(f"members/shard-0-replica-0/{kind}.json" for kind in ("stats", "info")),
        *(f"logs/{name}.log" for name in ("coordinator", "supervisor", "shard-0-primary")),
    } <= set(files)
    assert "aidb_" in files["metrics/shard-0-primary.prom"]
    assert not [one for one in planted for content in files.values() if one in content]

    # Half of it down: what is there is had, and what is not is named.
    status = json.loads(files["coordinator/status.json"])
    pid = int(cluster.document("status")["shards"][0]["primary"]["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        said, files = _report(cluster, tmp_path / "half.tar.gz", "--timeout", "1s")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert any(what.startswith("shard-0-primary: ") for what in said["missing"]), said["missing"]
    assert any(one["about"] == "shard-0-primary" for one in said["findings"])
    assert "logs/shard-0-primary.log" in files
    assert "members/router-0/stats.json" in files

    pid = int(status["pid"])
    supervisor = json.loads((cluster.data / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        until(lambda: not _answers(cluster), 60)
        said, files = _report(cluster, tmp_path / "headless.tar.gz", "--timeout", "1s")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert any(what.startswith("the coordinator: ") for what in said["missing"]), said["missing"]
    assert {"logs/coordinator.log", "local/description.json", "report.json"} <= set(files)
    assert "critical  coordinator: it does not answer" in files["findings.txt"]
    assert not [one for one in planted for content in files.values() if one in content]


def _answers(cluster: Command) -> bool:
    return cluster.run("status", "--timeout", "500ms").returncode == 0
