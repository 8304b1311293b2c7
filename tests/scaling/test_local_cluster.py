"""A local cluster grows and shrinks under writers, while its coordinator is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import aidb as sdk
from aidb.v1 import cluster_pb2 as pb
from tests.cli.admin import admin
from tests.cli.command import Command
from tests.coordinator.process import until
from tests.moves.writers import Writers
from tests.scaling.local import ENDED, SECONDS, Scaling, scaling


@pytest.fixture
def aidb(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, tmp_path / "data")
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 0)
    yield command
    command.run("down")


@pytest.fixture
def cluster(aidb: Command) -> Iterator[Scaling]:
    with scaling(aidb) as found:
        yield found


def test_one_shard_three_and_one_again_under_writers(cluster: Scaling) -> None:
    keys = [b"key %d" % number for number in range(300)]
    with sdk.connect(cluster.address) as client, Writers(cluster.address, keys, timeout=60.0) as writers:
        until(lambda: writers.count > 300, SECONDS)
        added = cluster.start("add_shard", count=2)
        assert (list(added.shards), added.state) == ([1, 2], "running")
        cluster.wait(added.id, lambda operation: operation.progress.slots_done > 0)
        cluster.kill_coordinator()
        assert cluster.ended(added.id).state == "done"
        assert sorted(cluster.slots().values()) == [5461, 5461, 5462]

        removed = cluster.start("remove_shard", shards=[0, 2])
        cluster.wait(removed.id, lambda operation: operation.progress.slots_done > 0)
        cluster.kill_coordinator()
        assert cluster.ended(removed.id).state == "done"
        assert cluster.slots() == {1: 16384}
        seen = writers.count
        until(lambda: writers.count > seen + 300, SECONDS)
    assert writers.errors == []
    with sdk.connect(cluster.address) as client:
        assert list(writers.problems(client)) == []
    assert "one stays at least" in admin(cluster.command, "remove-shard", "--shard", 1, "--yes", code=1)
    kept_and_forgotten(cluster)


def kept_and_forgotten(cluster: Scaling) -> None:
    """Directories of shards that went stay, a restart runs what is left, ids are not given out again."""
    command = cluster.command
    assert (command.data / "shard-0" / "store").is_dir()
    command("down")
    command("up", "--detach")
    assert cluster.slots() == {1: 16384}
    plan = admin(command, "add-shard", "--dry-run")
    assert (plan["shards"], plan["slots"]) == ([3], 0)
    assert [one["after"] for one in plan["plan"]["shards"]] == [8192, 8192]


def test_cancelled_in_the_middle_paused_and_resumed_and_replicas_beside_it(cluster: Scaling) -> None:
    paused = cluster.start("add_shard", count=2, replicas=0, id="first")
    assert cluster.start("add_shard", count=2, replicas=0, id="first").shards == paused.shards, "asked twice"
    paused_in_time = cluster.in_time("first", "pause")
    replica = cluster.start("add_replica", shards=[0])
    assert cluster.ended(replica.id).state == "done"
    assert [one.member.name for one in shard_status(cluster, 0).replicas] == ["shard-0-replica-0"]
    if paused_in_time:
        assert cluster.control("first", "resume").state == "running"
    cluster.wait("first", lambda one: one.progress.moves_under_way > 0 or one.state in ENDED)
    cancelled_in_time = cluster.in_time("first", "cancel")
    assert cluster.ended("first").state == ("cancelled" if cancelled_in_time else "done")
    left = cluster.slots()
    assert sum(left.values()) == 16384
    assert all(left.values()), "what came and got no slots is gone"

    gone = admin(cluster.command, "remove-replica", "--shard", 0, "--yes")
    assert (gone["state"], gone["names"]) == ("done", ["shard-0-replica-0"])
    assert [one["state"] for one in admin(cluster.command, "operations")][1:] == ["done", "done"]
    assert list(shard_status(cluster, 0).replicas) == []
    until(lambda: "shard-0-replica-0" not in cluster.command.pids(), SECONDS)


def shard_status(cluster: Scaling, shard: int) -> pb.ShardStatus:
    status = until(cluster.status, SECONDS)
    assert status is not None
    return next(one for one in status.shards if one.id == shard)
