"""A cluster goes back to a time as a whole; what it gave up by that is salvaged; drills find all well."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aidb_node import identity

from aidb.durability.history import History
from aidb.objects.file import FileStore
from tests.backup.test_cluster import everything, write
from tests.cli.admin import admin
from tests.cli.command import Command
from tests.coordinator.process import until

SHARDS = 2


@pytest.fixture
def aidb(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, tmp_path / "data")
    command("up", "--detach", "--port", 0, "--shards", SHARDS, "--replicas", 0)
    yield command
    command.run("down")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def moment() -> int:
    """A time after everything that happened, and before everything that will."""
    at = now_ms() + 1
    until(lambda: now_ms() > at + 1)
    return at


@pytest.mark.timeout(600)  # some forty starts of programs
def test_back_to_a_time_and_what_was_given_up_salvaged(aidb: Command, tmp_path: Path) -> None:
    first = write(aidb, "a", 300)
    assert [one["error"] for one in admin(aidb, "backup")] == ["", ""]
    drilled = admin(aidb, "drill")
    assert [one["problem"] for one in drilled] == ["", ""]
    assert sum(one["compared"]["entries"] for one in drilled) == len(first)
    assert not list(aidb.data.glob("*/checkpoints/drill-*"))
    then = moment()
    later = {"a0000": "changed", "a0001": "changed too", "new": "one"}
    lines = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in later.items())
    aidb("import", "-", "--format", "jsonl", content=lines.encode())
    aidb("delete", "a0002")
    between = moment()
    assert "runs: aidb down" in admin(aidb, "recover", "--to-time", then, code=2)
    aidb("down")

    # One disk and the coordinator are lost, the other disk is kept aside.
    shutil.rmtree(aidb.data / "shard-1")
    shutil.rmtree(aidb.data / "coordinator")
    assert "--to-lsn" not in admin(aidb, "recover", "--to-time", 10**12, code=3)
    assert not (aidb.data / "shard-1").exists() or not (aidb.data / "shard-1/store").exists()
    done = admin(aidb, "recover", "--to-time", then)
    assert [one["shard"] for one in done["shards"]] == [0, 1]
    assert done["topology"]["version"] > done["topology"]["restored"]
    assert "was given up" in admin(aidb, "recover", "--to-time", between, code=2)
    aidb("up", "--detach")
    assert everything(aidb) == first
    uid = json.loads((aidb.data / "local.json").read_bytes())["cluster_uid"]
    history = History(FileStore(aidb.data / "objects"), uid)
    until(lambda: history.newest_version() > done["topology"]["version"])

    (aside,) = (aidb.data / "shard-0").glob("store.replaced-*")
    check_salvage(aidb, aside, first, later, tmp_path)


def check_salvage(
    aidb: Command, aside: Path, first: dict[str, str], later: dict[str, str], tmp_path: Path
) -> None:
    """Of one shard's part of what was written later."""
    dry = admin(aidb, "salvage", aside, "--export", tmp_path / "lost.jsonl")
    lost = {item["key"]: item for item in dry["items"]}
    assert set(lost) <= later.keys() | {"a0002"}
    assert lost, "shard 0 has some of four keys"
    assert dry["missing"] == []
    assert (dry["dry_run"], dry["applied"]) == (True, 0)
    assert everything(aidb) == first
    exported = [json.loads(line) for line in (tmp_path / "lost.jsonl").read_text().splitlines()]
    assert {one["key"]: one["value"] for one in exported} == {
        key: item["value"] for key, item in lost.items() if not item["deleted"]
    }
    # One of them was written since: it is newer than what was lost.
    kept = min(lost)
    aidb("put", kept, "newer")
    applied = admin(aidb, "salvage", aside, "--apply")
    assert applied["applied"] == len(lost) - 1
    assert applied["counts"]["newer"] == 1
    expected = dict(first)
    for key, item in lost.items():
        if item["deleted"]:
            expected.pop(key)
        else:
            expected[key] = later[key]
    expected[kept] = "newer"
    assert everything(aidb) == expected
    again = admin(aidb, "salvage", aside, "--apply")
    assert again["applied"] == 0

    live = admin(aidb, "salvage", aside.parent, code=2)
    assert "which nothing has superseded" in live
    found = identity.parse((aside.parent / identity.FILE).read_bytes(), aside.parent)
    stranger = tmp_path / "stranger"
    shutil.copytree(aside, stranger / "store")
    identity.restore(stranger, identity.Identity(found.disk_id, 0, "another"))
    refused = admin(aidb, "salvage", stranger, "--apply", code=2)
    assert "belongs to cluster another" in refused
