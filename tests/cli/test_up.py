"""`aidb up` and `aidb down`: what was killed comes back; what cannot run is refused first."""

from __future__ import annotations

import json
import os
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.coordinator.process import until

SMALL = ("--detach", "--port", 0, "--shards", 1, "--replicas", 1)


def supervisor(command: Command) -> int:
    pid: int = json.loads(next(command.data.rglob("supervisor.json")).read_text())["pid"]
    return pid


def alive(pid: int) -> bool:
    """Not so a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_what_is_killed_comes_back_and_a_second_up_keeps_what_runs(nowhere: Command) -> None:
    nowhere("up", *SMALL)
    nowhere("put", "k", "v")
    before = nowhere.pids()
    nowhere("up", "--detach")
    assert nowhere.pids() == before
    for name in ("shard-0-replica-0", "shard-0-primary", "router-0", "coordinator"):
        killed = nowhere.pids()[name]
        os.kill(killed, signal.SIGKILL)
        until(partial(restarted, nowhere, name, killed))
        nowhere("up", "--detach")  # returns when all is ready again
        assert nowhere("get", "k") == b"v"
    kept = nowhere.pids()
    dead = supervisor(nowhere)
    os.kill(dead, signal.SIGKILL)
    until(lambda: not alive(dead))
    assert nowhere("get", "k") == b"v", "the programs outlive their supervisor"
    nowhere("up", "--detach")
    assert supervisor(nowhere) != dead and nowhere.pids() == kept
    nowhere("down")
    assert not any(alive(pid) for pid in kept.values())
    assert b"does not run" in nowhere.run("down").stderr
    nowhere("up", "--detach")
    assert nowhere("get", "k") == b"v", "the data stays"


def restarted(command: Command, name: str, killed: int) -> bool:
    done = command.run("status", "-o", "json", "--timeout", "1s")
    return done.returncode == 0 and command.pids().get(name) not in (killed, 0, None)


def test_another_shape_or_port_is_refused(nowhere: Command) -> None:
    nowhere("up", *SMALL)
    nowhere("down")
    for option, value in (("--shards", 2), ("--replicas", 0), ("--port", 9999)):
        said = nowhere.refused("up", "--detach", option, value, code=2)
        assert option in said and "leave it out" in said


def test_a_directory_of_something_else(nowhere: Command) -> None:
    nowhere.data.mkdir()
    (nowhere.data / "thesis.txt").write_text("precious")
    assert "thesis.txt" in nowhere.refused("up", *SMALL, code=2)
    assert (nowhere.data / "thesis.txt").read_text() == "precious"
    assert [path.name for path in nowhere.data.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_directory(nowhere: Command) -> None:
    nowhere.data.write_text("a file")
    nowhere.refused("up", *SMALL, code=2)
    assert nowhere.data.read_text() == "a file"


def test_a_directory_that_cannot_be_written(nowhere: Command) -> None:
    nowhere.data = Path("/proc/aidb-data")
    assert "/proc" in nowhere.refused("up", *SMALL, code=2)


def test_a_newer_or_damaged_directory(nowhere: Command) -> None:
    nowhere("up", *SMALL)
    nowhere("put", "k", "v")
    nowhere("down")
    description = nowhere.data / "local.json"
    sound = description.read_text()
    description.write_text(sound.replace('"format": 1', '"format": 99'))
    assert "newer" in nowhere.refused("up", "--detach", code=2)
    description.write_text(sound[:40])
    assert "damaged" in nowhere.refused("up", "--detach", code=2)
    description.write_text(sound)
    identity = next(nowhere.data.rglob("identity.json"))
    known = identity.read_text()
    identity.write_text(known.replace('"format": 1', '"format": 99'))
    assert "format 99" in nowhere.refused("up", "--detach", code=2)
    identity.write_text(known)
    nowhere("up", "--detach")
    assert nowhere("get", "k") == b"v", "nothing was lost by the refusals"


def test_a_port_that_is_in_use(nowhere: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = nowhere.refused("up", "--detach", "--port", port, "--shards", 1, "--replicas", 0, code=2)
        assert str(port) in said
    assert not nowhere.data.exists() or not list(nowhere.data.rglob("identity.json"))


@pytest.mark.parametrize(
    "arguments", [("--shards", 0), ("--replicas", -1), ("--port", 70000), ("--shards", "x")]
)
def test_nonsense_is_refused(nowhere: Command, arguments: tuple[object, ...]) -> None:
    nowhere.refused("up", "--detach", *arguments, code=2)
    assert not nowhere.data.exists()
