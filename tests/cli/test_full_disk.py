"""A full disk: writes are refused with its name, nothing acknowledged is lost, and with space it goes on."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import aidb
from tests.cli.command import Command
from tests.coordinator.process import until

MIB = 1 << 20
ROWS = 300


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 MiB, of which a file takes 64."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    (mounted / "filler").write_bytes(bytes(64 * MIB))
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_nothing_acknowledged_is_lost(disk: Path, tmp_path: Path) -> None:
    command = Command(tmp_path, disk / "data")
    objects = (tmp_path / "objects").as_uri()
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 1, "--objects", objects)
    try:
        address = command.document("status")["coordinator"]["address"]
        source = tmp_path / "big.jsonl"
        with source.open("w") as stream:
            for number in range(ROWS):
                value = base64.b64encode(os.urandom(MIB // 4 * 3)).decode()
                stream.write(json.dumps({"key": f"big-{number}", "value": f"{number}:{value}"}) + "\n")
        said = command.refused("import", source, "--batch", 4, code=1)
        assert "DISK_FULL" in said
        written = acknowledged(source)
        check(address, written)
        (disk / "filler").unlink()
        # The memtables that waited take the room first, and give back that of their log.
        until(lambda: has_room(command))
        check(address, written)
        command("down")
        command("up", "--detach")
        check(address, written)
        assert command("get", "one-more")
    finally:
        command("down")


def has_room(command: Command) -> bool:
    """Whether a put is let in; one that is refused is so for want of space and nothing else."""
    done = command.run("put", "one-more", content=os.urandom(MIB))
    assert done.returncode == 0 or b"DISK_FULL" in done.stderr, done.stderr.decode()
    return done.returncode == 0


def acknowledged(source: Path) -> int:
    """Records that the import's checkpoint counts as loaded."""
    checkpoint = json.loads(source.with_name(source.name + ".aidb-import").read_text())
    count: int = checkpoint["counts"]["records"]
    assert 20 < count < ROWS
    return count


def check(address: str, written: int) -> None:
    with aidb.connect(address) as db:
        for number in range(written):
            value = db.get(b"big-%d" % number, consistency="strong")
            assert value is not None and value.startswith(b"%d:" % number)
