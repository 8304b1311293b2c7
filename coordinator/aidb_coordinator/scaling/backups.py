"""The last snapshot of a shard that is about to go: asked of its primary, and followed to its end.

What was asked for is in memory only: a coordinator that restarts asks again, and what the store has already
is not sent twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import grpc

from aidb.logs import fields
from aidb.v1 import node_pb2, node_pb2_grpc, storage_pb2, storage_pb2_grpc
from aidb_coordinator.dial import Dialer
from aidb_coordinator.scaling.view import Backup

log = logging.getLogger("aidb.coordinator")

_TIMEOUT = 5.0
# After one that failed, in seconds.
_PAUSE = 10.0


@dataclass(slots=True)
class _Asked:
    """`ended`: so many of its snapshots had ended when it was asked, `at` seconds of the monotonic clock."""

    address: str
    ended: int
    at: float
    state: Backup = Backup.RUNNING
    failed_at: float = 0.0
    snapshot: str = ""
    error: str = ""


class Snapshots(Protocol):
    @property
    def states(self) -> Mapping[int, Backup]:
        """Of those that were asked for, by shard."""

    async def ask(self, shard: int, address: str, name: str) -> str:
        """Of the shard's primary; what went wrong, or nothing."""

    async def follow(self) -> None:
        """Looks how those that run are doing; those that failed are given up after a while."""

    def forget(self, shards: tuple[int, ...]) -> None:
        """They are gone."""


class Backups(Snapshots):
    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._asked: dict[int, _Asked] = {}

    @property
    def states(self) -> Mapping[int, Backup]:
        return {shard: asked.state for shard, asked in self._asked.items()}

    def taken(self, shard: int) -> str:
        """The label of its snapshot, when it is done."""
        return self._asked[shard].snapshot

    def error(self, shard: int) -> str:
        """Why it failed."""
        return self._asked[shard].error

    async def ask(self, shard: int, address: str, name: str) -> str:
        began = time.monotonic()
        async with self._dialer.channel(address, ()) as channel:
            stub = node_pb2_grpc.NodeStub(channel)
            try:
                answer = await stub.Backup(node_pb2.BackupRequest(name=name), timeout=_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                return f"no snapshot of shard {shard}: {error.details() or error.code().name}"
        self._asked[shard] = _Asked(address, answer.snapshots_ended, began)
        return ""

    async def follow(self) -> None:
        for shard, asked in list(self._asked.items()):
            if asked.state is Backup.RUNNING:
                await self._look(shard, asked)
            elif asked.state is Backup.FAILED and time.monotonic() > asked.failed_at + _PAUSE:
                del self._asked[shard]

    def forget(self, shards: tuple[int, ...]) -> None:
        for shard in shards:
            self._asked.pop(shard, None)

    async def _look(self, shard: int, asked: _Asked) -> None:
        async with self._dialer.channel(asked.address, ()) as channel:
            stub = storage_pb2_grpc.StorageStub(channel)
            try:
                answer = await stub.GetStats(storage_pb2.GetStatsRequest(), timeout=_TIMEOUT)
            except grpc.aio.AioRpcError:
                # Its primary may be another one soon, which is asked anew.
                del self._asked[shard]
                return
        found = answer.durability
        if answer.uptime_ms < (time.monotonic() - asked.at) * 1000:
            # It has restarted since, and knows of nothing.
            del self._asked[shard]
            return
        if found.snapshots_ended <= asked.ended:
            return
        asked.state = Backup.FAILED if found.snapshot_error else Backup.DONE
        asked.snapshot, asked.error = found.snapshot, found.snapshot_error
        if found.snapshot_error:
            asked.failed_at = time.monotonic()
            log.warning(
                "snapshot of shard %d failed: %s", shard, found.snapshot_error, extra=fields(shard=shard)
            )
