"""`aidb top` in a real terminal, of a real cluster: what happens to the cluster is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import aidb
from tests.cli.admin import admin
from tests.cli.command import Command
from tests.coordinator.process import until
from tests.top.terminal import Terminal

SECONDS = 90.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    directory = tmp_path_factory.mktemp("top")
    command = Command(directory, directory / "data")
    command("up", "--detach", "--port", 0, "--shards", 2, "--replicas", 1)
    yield command
    command("down")


@pytest.fixture
def top(cluster: Command) -> Iterator[Terminal]:
    terminal = Terminal(
        [sys.executable, "-m", "aidb.cli", "top", "--every", "200ms"],
        cluster.directory,
        {**os.environ, "AIDB_DATA": str(cluster.data)},
    )
    yield terminal
    terminal.close()


def shows(terminal: Terminal, *texts: str) -> None:
    def shown() -> bool:
        assert terminal.process.poll() is None, terminal.said[-2000:]
        return all(text in terminal.screen for text in texts)

    until(shown, SECONDS)


def test_a_killed_replica_is_seen_to_fail_and_to_return(cluster: Command, top: Terminal) -> None:
    shows(top, "2 of 2 shards running", "5 of 5 members healthy")
    replica = cluster.pids()["shard-0-replica-0"]
    os.kill(replica, signal.SIGKILL)
    shows(top, "4 of 5 members healthy", "not healthy", "Failed")
    shows(top, "5 of 5 members healthy")
    assert cluster.pids()["shard-0-replica-0"] != replica


def test_keys_choose_and_end(cluster: Command, top: Terminal) -> None:
    shows(top, "sorted by shard")
    top.press("oo")
    shows(top, "sorted by reads")
    top.press("\x1b[B\r")
    until(lambda: "epoch" in top.screen and "sorted by" not in top.screen, SECONDS)
    top.press("\r")
    shows(top, "sorted by reads")
    top.press("q")
    assert top.ends() == 0


def test_traffic_a_backup_and_moves_are_seen(cluster: Command, top: Terminal) -> None:
    shows(top, "2 of 2 shards running")
    address = cluster.document("status")["coordinator"]["address"]
    stop = threading.Event()

    def ask() -> None:
        with aidb.connect(address) as client:
            while not stop.is_set():
                client.put(b"key", b"v" * 1000)
                client.get(b"key")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        until(lambda: "reads 0/s  writes 0/s" not in top.screen, SECONDS)
        admin(cluster, "backup")
        admin(cluster, "add-shard", "--yes", "--no-wait")
        until(lambda: "add shard" in top.said and "move " in top.said, SECONDS)
        shows(top, "3 of 3 shards running")
        until(lambda: "add shard" not in top.screen, SECONDS)
    finally:
        stop.set()
        asking.join()
    # The snapshots of so little data are there between two looks, mostly; that they were taken is seen.
    shows(top, "s ago")


def test_one_address_is_enough(cluster: Command) -> None:
    """As through a port-forward: the coordinator alone is asked."""
    address = cluster.document("status")["coordinator"]["address"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "aidb.cli",
            "--no-direct",
            "top",
            "--once",
            "--every",
            "200ms",
            "--address",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "shards running" in done.stdout and "quit" in done.stdout


def test_a_picture_is_written(cluster: Command, tmp_path: Path) -> None:
    cluster("top", "--picture", tmp_path / "top.svg", "--every", "200ms")
    text = (tmp_path / "top.svg").read_text()
    assert text.startswith("<svg") and "shards" in text


def test_without_a_terminal_or_a_cluster_it_says_what_to_do(cluster: Command, nowhere_address: str) -> None:
    assert "--once" in cluster.refused("top", code=2)
    assert "does not answer" in cluster.refused("top", "--once", "--address", nowhere_address, code=5)


@pytest.fixture
def nowhere_address() -> str:
    return "127.0.0.1:1"
