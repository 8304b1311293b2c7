"""What the coordinator asks members for: their figures. One channel each, kept as long as it is used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

import grpc

from aidb.security.material import Material
from aidb.v1 import node_pb2, node_pb2_grpc, storage_pb2, storage_pb2_grpc
from aidb_coordinator.dial import Dialer
from aidb_coordinator.topology import Member

_ASKED_AT_ONCE = 64
# Of a busy machine as well: who misses it is missing in the sample.
_TIMEOUT = 5.0
# Sizes are worked out when they are asked for.
_SIZES_TIMEOUT = 10.0


class Members:
    """Answers are None when there was none, or another program's, which may have taken the port."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._room = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._channels: dict[str, tuple[Material | None, grpc.aio.Channel]] = {}

    async def stats(self, member: Member) -> storage_pb2.GetStatsResponse | None:
        async with self._room:
            stub = storage_pb2_grpc.StorageStub(await self._channel(member.address))
            try:
                answer: storage_pb2.GetStatsResponse = await stub.GetStats(
                    storage_pb2.GetStatsRequest(), timeout=_TIMEOUT
                )
            except grpc.aio.AioRpcError:
                return None
        return answer if answer.name == member.name else None

    async def load(self, member: Member, hot_keys: int, sizes: bool) -> node_pb2.GetLoadResponse | None:
        async with self._room:
            stub = node_pb2_grpc.NodeStub(await self._channel(member.address))
            request = node_pb2.GetLoadRequest(hot_keys=hot_keys, sizes=sizes)
            try:
                answer: node_pb2.GetLoadResponse = await stub.GetLoad(
                    request, timeout=_SIZES_TIMEOUT if sizes else _TIMEOUT
                )
            except grpc.aio.AioRpcError:
                return None
        return answer if answer.name == member.name else None

    async def retain(self, members: Collection[Member]) -> None:
        """Close the channels to others."""
        for address in self._channels.keys() - {member.address for member in members}:
            await self._close(address)

    async def close(self) -> None:
        await self.retain(())

    async def _channel(self, address: str) -> grpc.aio.Channel:
        material, channel = self._channels.get(address, (None, None))
        if channel is None or material is not self._dialer.material:
            await self._close(address)
            channel = self._dialer.channel(address, ())
            self._channels[address] = (self._dialer.material, channel)
        return channel

    async def _close(self, address: str) -> None:
        _, channel = self._channels.pop(address, (None, None))
        if channel is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close()
