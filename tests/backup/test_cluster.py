"""A local cluster of real processes that loses the disk of a shard, and gets it back from its object
store.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from aidb.v1 import storage_pb2 as pb
from aidb.v1.storage_pb2_grpc import StorageStub
from tests.cli.admin import admin
from tests.cli.command import SECONDS, Command
from tests.coordinator.process import until


@pytest.fixture
def aidb(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, tmp_path / "data")
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 0)
    yield command
    command.run("down")


def primary_stats(aidb: Command) -> pb.GetStatsResponse:
    primary = aidb.document("status")["shards"][0]["primary"]["address"]
    with grpc.insecure_channel(primary) as channel:
        answer: pb.GetStatsResponse = StorageStub(channel).GetStats(pb.GetStatsRequest(), timeout=10)
        return answer


def wait_until_archived(aidb: Command) -> int:
    """Everything that is acknowledged now."""
    lsn = primary_stats(aidb).engine.synced_lsn

    def archived() -> pb.DurabilityStats | None:
        found = primary_stats(aidb).durability
        return found if found.archived_lsn >= lsn else None

    found = until(archived, SECONDS)
    assert found is not None
    assert found.fenced
    assert found.archive_error == ""
    return lsn


def write(aidb: Command, prefix: str, count: int) -> dict[str, str]:
    written = {f"{prefix}{number:04}": f"{prefix} value {number}" for number in range(count)}
    lines = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in written.items())
    aidb("import", "-", "--format", "jsonl", content=lines.encode())
    return written


def everything(aidb: Command) -> dict[str, str]:
    return {item["key"]: item["value"] for item in aidb.document("scan")}


def test_a_lost_disk_comes_back_with_everything_that_was_archived(aidb: Command, tmp_path: Path) -> None:
    written = write(aidb, "a", 500)
    (taken,) = admin(aidb, "backup", "--name", "first")
    assert taken["error"] == ""
    assert taken["uploaded_bytes"] > 0
    written |= write(aidb, "b", 300)
    # A crash and a restart in place: a new epoch, which goes on where the archive ends.
    os.kill(aidb.pids()["shard-0-primary"], signal.SIGKILL)
    written |= write(aidb, "c", 100)
    lsn = wait_until_archived(aidb)
    (listed,) = admin(aidb, "backups")
    assert listed["archived_lsn"] >= lsn
    assert "first" in {one["name"] for one in listed["snapshots"]}
    verified, topologies = admin(aidb, "verify")
    assert topologies["topologies"] > 0
    assert topologies["problems"] == []
    assert verified["problems"] == []
    assert verified["chain_to"] >= lsn
    refused = admin(aidb, "recover", "--shard", 0, code=2)
    assert "aidb down stops it" in refused

    aidb("down")
    shutil.rmtree(aidb.data / "shard-0")
    elsewhere = admin(aidb, "recover", "--shard", 0, "--into", tmp_path / "copy", "--to-lsn", taken["lsn"])
    assert elsewhere["lsn"] == taken["lsn"]
    report = admin(aidb, "recover", "--shard", 0)
    assert report["loss"] is None
    assert report["lsn"] >= lsn
    aidb("up", "--detach")
    assert everything(aidb) == written
    written |= write(aidb, "d", 50)
    wait_until_archived(aidb)
    assert everything(aidb) == written
    verified, topologies = admin(aidb, "verify")
    assert topologies["topologies"] > 0
    assert topologies["problems"] == []
    assert verified["problems"] == []
    planned = admin(aidb, "retention", "--dry-run", "--keep", 1, "--keep-days", 0)
    assert [one["shard"] for one in planned] == [0, None]
    for one in planned:
        assert (one["deletions"], one["deleted"]) == ([], 0), "everything is younger than the minimum age"


def test_an_old_primary_finds_its_log_sealed_and_ends(aidb: Command) -> None:
    """A recovery seals the log of the last epoch: a process that was forgotten can archive nothing more,
    and ends.
    """
    write(aidb, "a", 10)
    wait_until_archived(aidb)
    pid = aidb.pids()["shard-0-primary"]
    from aidb.durability.catalog import Catalog
    from aidb.durability.fencing import seal_log
    from aidb.durability.names import Names
    from aidb.objects.file import FileStore

    uid = json.loads((aidb.data / "local.json").read_bytes())["cluster_uid"]
    catalog = Catalog(FileStore(aidb.data / "objects"), Names(uid, 0))
    epoch = catalog.newest_claim()
    seal_log(catalog, epoch, epoch + 1, "test")
    aidb.run("put", "late", "write")
    log = aidb.data / "logs" / "shard-0-primary.log"
    until(lambda: "another primary has taken over" in log.read_text(), SECONDS)
    # The supervisor starts it again: a restart in place, in a new epoch.
    until(lambda: aidb.pids()["shard-0-primary"] not in (pid, 0), SECONDS)
    aidb("put", "later", "write")
    wait_until_archived(aidb)
    assert catalog.newest_claim() > epoch
