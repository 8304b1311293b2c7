"""The last snapshot of a shard, asked of a primary that takes its time, fails, or restarts meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from aidb_coordinator.dial import Dialer
from aidb_coordinator.scaling import backups
from aidb_coordinator.scaling.backups import Backups
from aidb_coordinator.scaling.view import Backup

from aidb.v1 import node_pb2, node_pb2_grpc, storage_pb2, storage_pb2_grpc


class Primary(node_pb2_grpc.NodeServicer, storage_pb2_grpc.StorageServicer):
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended = 2
        self.error = ""
        self.uptime_ms = 1_000_000
        self.address = ""

    async def Backup(self, request: node_pb2.BackupRequest, context: Any) -> node_pb2.BackupResponse:
        self.asked.append(request.name)
        return node_pb2.BackupResponse(snapshots_ended=self.ended)

    async def GetStats(
        self, request: storage_pb2.GetStatsRequest, context: Any
    ) -> storage_pb2.GetStatsResponse:
        durability = storage_pb2.DurabilityStats(snapshots_ended=self.ended, snapshot_error=self.error)
        return storage_pb2.GetStatsResponse(uptime_ms=self.uptime_ms, durability=durability)


@pytest_asyncio.fixture
async def primary() -> AsyncIterator[Primary]:
    made = Primary()  # type: ignore[abstract]  # the other calls are not made
    server = grpc.aio.server()
    node_pb2_grpc.add_NodeServicer_to_server(made, server)
    storage_pb2_grpc.add_StorageServicer_to_server(made, server)
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield made
    await server.stop(None)


async def test_it_is_done_when_a_snapshot_has_ended_that_began_later(primary: Primary) -> None:
    found = Backups(Dialer(None))
    assert found.states == {}
    assert await found.ask(3, primary.address, "the last one") == ""
    await found.follow()
    assert (found.states, primary.asked) == ({3: Backup.RUNNING}, ["the last one"])
    primary.ended += 1
    await found.follow()
    assert found.states == {3: Backup.DONE}
    found.forget((3,))
    assert found.states == {}


async def test_one_that_failed_is_asked_for_again_after_a_while(
    primary: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Backups(Dialer(None))
    await found.ask(3, primary.address, "")
    primary.ended, primary.error = 3, "the store is away"
    await found.follow()
    await found.follow()
    assert found.states == {3: Backup.FAILED}
    monkeypatch.setattr(backups, "_PAUSE", -1.0)
    await found.follow()
    assert found.states == {}


async def test_a_primary_that_restarted_or_is_gone_is_asked_anew(primary: Primary) -> None:
    found = Backups(Dialer(None))
    await found.ask(3, primary.address, "")
    primary.uptime_ms, primary.ended = 0, 0
    await found.follow()
    assert found.states == {}
    assert "no snapshot of shard 4" in await found.ask(4, "127.0.0.1:1", "")
    assert found.states == {}
