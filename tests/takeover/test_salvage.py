"""Salvage after a takeover (D6): the old primary's directory has writes beyond the cut, and exactly these
come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aidb
from aidb.client import Client
from tests.cli.admin import admin
from tests.cli.command import Command
from tests.evidence.succession import Succession

NEVER = 3600.0
Items = dict[tuple[int, str], tuple[str | None, int]]


class Lost:
    """Writes, and remembers the last of each key."""

    def __init__(self) -> None:
        self.items: Items = {}

    def put(self, client: Client, key: str, value: str, keyspace: int = 0) -> None:
        self.items[keyspace, key] = value, client.put(key.encode(), value.encode())

    def delete(self, client: Client, key: str) -> None:
        self.items[0, key] = None, client.delete(key.encode())

    def batch(self, client: Client, keys: list[str]) -> None:
        batch = aidb.WriteBatch()
        for key in keys:
            batch.put(key.encode(), b"together")
        version = client.write_batch(batch)
        self.items |= {(0, key): ("together", version) for key in keys}


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def found_in(report: dict[str, Any]) -> Items:
    return {(item["keyspace"], item["key"]): (item.get("value"), item["version"]) for item in report["items"]}


def contents(client: Client) -> dict[str, str]:
    return {entry.key.decode(): entry.value.decode() for entry in client.scan()}


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Succession]:
    """Archives only what somebody waits for."""
    with Succession(tmp_path, replicas=0, archive_every=NEVER, snapshot_every=NEVER) as started:
        yield started


def test_exactly_what_lies_beyond_the_cut_comes_back(shard: Succession, tmp_path: Path) -> None:
    lost = Lost()
    with shard.connect(30) as client, aidb.connect(shard.address, keyspace=7) as other:
        for number in range(20):
            client.put(b"k%02d" % number, b"archived")
        client.put(b"last", b"archived", durability="archived")
        archived = contents(client)
        for number in range(30):
            lost.put(client, f"new{number:02}", f"first {number}")
        lost.put(client, "new00", "second")
        lost.put(client, "k00", "over")
        lost.put(client, "k01", "over, and over again later")
        lost.delete(client, "k02")
        lost.delete(client, "new01")
        lost.put(other, "k03", "of keyspace 7", 7)
        lost.batch(client, ["{tag}1", "{tag}2"])
        old = shard.shard().primary.address
        stats = shard.stats(old)
        assert stats is not None
        assert stats.durability.archived_lsn < min(version for _, version in lost.items.values())

    shard.primary(1).kill()
    assert shard.wanted() == 2
    shard.primary(2).start()
    shard.wait_whole()
    directory = shard.directory(1)
    before = digests(directory)
    command = Command(tmp_path, tmp_path / "none")

    def salvage(*options: str) -> Any:
        return admin(command, "salvage", directory, "--address", shard.address, *options)

    with shard.connect(30) as client, aidb.connect(shard.address, keyspace=7) as other:
        assert contents(client) == archived
        assert other.get(b"k03") is None
        client.put(b"k01", b"newer")
        dry = salvage()
        assert found_in(dry) == lost.items
        assert (dry["missing"], dry["other_operations"], dry["applied"]) == ([], 0, 0)
        assert dry["cut"] == next(cut.lsn for cut in shard.shard().cuts if cut.epoch == dry["epoch"])
        assert dry["counts"] == {"put": len(lost.items) - 3, "delete": 1, "newer": 1, "there": 0, "gone": 1}
        assert contents(client) == archived | {"k01": "newer"}

        done = salvage("--apply")
        assert (done["applied"], done["failed"]) == (len(lost.items) - 2, 0)
        expected = archived | {key: value for (space, key), (value, _) in lost.items.items() if not space}
        expected |= {"k01": "newer"}
        assert contents(client) == {key: value for key, value in expected.items() if value is not None}
        assert other.get(b"k03") == b"of keyspace 7"
        assert salvage("--apply")["applied"] == 0, "all of it is newer in the cluster now"
    assert digests(directory) == before
    assert "which nothing has superseded" in admin(
        command, "salvage", shard.directory(2), "--address", shard.address, code=2
    )
