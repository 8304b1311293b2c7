"""`aidb-admin` of a real coordinator: what there is, who changed it, once and again and again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aidb.admin.app import app
from aidb.cli.main import run
from aidb.v1 import cluster_pb2 as pb
from tests.coordinator.process import CoordinatorProcess, FakeMember

Start = Callable[..., CoordinatorProcess]


def test_the_cluster_is_shown_and_who_changed_it(
    start: Start, health_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator = start("--shards", "2")

    def admin(*words: str) -> str:
        assert run([*words, "--address", coordinator.address], app, "aidb-admin") == 0
        return capsys.readouterr().out

    address = health_server().address
    primary = FakeMember("shard-1-primary", pb.ROLE_PRIMARY, address, shard=1)
    primary.register(coordinator)
    FakeMember("shard-1-replica-0", pb.ROLE_REPLICA, address, shard=1).register(coordinator)

    shards = json.loads(admin("list-shards", "-o", "json"))
    assert [(shard["id"], shard["slots"]) for shard in shards] == [(0, 8192), (1, 8192)]
    table = admin("list-shards").splitlines()
    assert len(table) == 3 and "none yet" in table[1] and f"shard-1-primary {address}" in table[2]
    status = json.loads(admin("status", "-o", "json"))
    assert [shard["id"] for shard in status["shards"]] == [0, 1]
    twice = admin("list-shards", "--watch", "--times", "2", "--every", "10ms")
    assert twice.count("SHARD ") == 2

    history = json.loads(admin("topology", "history", "-o", "json"))
    assert [change["version"] for change in history] == [1, 2, 3]
    assert [change["by"] for change in history[1:]] == [
        "shard-1-primary (Register)",
        "shard-1-replica-0 (Register)",
    ]
    assert history[1]["what"] == [f"epoch 1 of shard 1: shard-1-primary at {address}"]
    assert "shard-1-replica-0 of shard 1 is new" in admin("topology", "history", "--limit", "1")
    coordinator.kill()

    again = start(listen=coordinator.address)
    kept = json.loads(admin("topology", "history", "-o", "json"))
    assert kept == history, "it outlives the coordinator, and a new term is no change"
    again.stop()
    code = run(["list-shards", "--address", coordinator.address], app, "aidb-admin")
    assert code == 5 and "does not answer" in capsys.readouterr().err
