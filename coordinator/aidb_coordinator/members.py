"""What the coordinator asks members for: their figures. One channel each, kept as long as it is used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Reached:
    """A channel with its stubs, which would cost more than a call if each made its own."""

    material: Material | None
    channel: grpc.aio.Channel
    storage: storage_pb2_grpc.StorageAsyncStub
    node: node_pb2_grpc.NodeAsyncStub


class Members:
    """Answers are None when there was none, or another program's, which may have taken the port."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._room = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._reached: dict[str, _Reached] = {}

    async def stats(self, member: Member) -> storage_pb2.GetStatsResponse | None:
        async with self._room:
            stub = (await self._reach(member.address)).storage
            try:
                answer: storage_pb2.GetStatsResponse = await stub.GetStats(
                    storage_pb2.GetStatsRequest(), timeout=_TIMEOUT
                )
            except grpc.aio.AioRpcError:
                return None
        return answer if answer.name == member.name else None

    async def load(self, member: Member, hot_keys: int, sizes: bool) -> node_pb2.GetLoadResponse | None:
        async with self._room:
            stub = (await self._reach(member.address)).node
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
        for address in self._reached.keys() - {member.address for member in members}:
            await self._close(address)

    async def close(self) -> None:
        await self.retain(())

    async def _reach(self, address: str) -> _Reached:
        reached = self._reached.get(address)
        if reached is None or reached.material is not self._dialer.material:
            await self._close(address)
            channel = self._dialer.channel(address, ())
            reached = _Reached(
                self._dialer.material,
                channel,
                storage_pb2_grpc.StorageStub(channel),
                node_pb2_grpc.NodeStub(channel),
            )
            self._reached[address] = reached
        return reached

    async def _close(self, address: str) -> None:
        reached = self._reached.pop(address, None)
        if reached is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await reached.channel.close()
