"""The autoscaler's history: what every member counts, asked for at each interval, kept as long as it is used.

It is in memory: a coordinator that begins knows nothing yet, and then nothing is to go. Members that do not
answer are missing in the sample. Read latency and writes a second are counted by no member as yet, so the
rules leave them out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

import grpc

from aidb.security.material import Material
from aidb.v1 import storage_pb2, storage_pb2_grpc
from aidb_coordinator.autoscaler import Decision, Figures, History, Mode, Rules, Sample, ShardFigures, decide
from aidb_coordinator.autoscaler.counters import Counters, figures
from aidb_coordinator.control import Control
from aidb_coordinator.dial import Dialer
from aidb_coordinator.health import MemberState
from aidb_coordinator.rebalance import under_way
from aidb_coordinator.settings import Settings
from aidb_coordinator.topology import Member, Shard, Topology

_ASKED_AT_ONCE = 64
_TIMEOUT = 2.0
_GONE = (MemberState.LEFT, MemberState.FAILED)


def rules_of(settings: Settings) -> Rules:
    """The defaults, of what members count."""
    defaults = Rules(mode=Mode(settings.autoscale), interval=settings.autoscale_interval)
    return replace(
        defaults,
        replicas=replace(defaults.replicas, read_ms=None),
        shards=replace(defaults.shards, writes=None),
    )


class Sampler:
    """`run` until cancelled; `decide` at any time."""

    def __init__(self, control: Control, dialer: Dialer) -> None:
        self._control = control
        self._dialer = dialer
        self._cores = control.settings.member_cores
        self._history = History()
        self._before: dict[str, Counters] = {}
        self._channels: dict[str, tuple[Material | None, grpc.aio.Channel]] = {}
        self.rules = rules_of(control.settings)

    async def run(self) -> None:
        if self.rules.mode is Mode.OFF:
            return
        try:
            while True:
                begin = self._control.clock.monotonic()
                sample = await self.sample(begin)
                self._history = self._history.with_sample(sample, self.rules.keep_seconds)
                took = self._control.clock.monotonic() - begin
                await asyncio.sleep(max(0.0, self.rules.interval - took))
        finally:
            for address in list(self._channels):
                await self._close(address)

    async def decide(self) -> tuple[History, Decision | None]:
        """By what is known now, which is returned as well; in a thread, because a large cluster takes a
        while.
        """
        history, now = self._history, self._control.clock.monotonic()
        return history, await asyncio.to_thread(decide, history, self.rules, now)

    async def sample(self, now: float) -> Sample:
        topology = self._control.topology
        members = {member.name: member for shard in topology.shards for member in shard.members()}
        present = {
            name: member
            for name, member in members.items()
            if self._control.roster.verdict(name).state not in _GONE
        }
        room = asyncio.Semaphore(_ASKED_AT_ONCE)
        answers = await asyncio.gather(*(self._ask(member, room) for member in present.values()))
        stats = {name: answer for name, answer in zip(present, answers, strict=True) if answer is not None}
        counted = {name: _counters(now, answer) for name, answer in stats.items()}
        known = {name: self._figures(name, counters) for name, counters in counted.items()}
        self._before = counted
        for address in self._channels.keys() - {member.address for member in present.values()}:
            await self._close(address)
        shards = tuple(self._shard(shard, known, stats) for shard in topology.shards)
        return Sample(now, shards, _busy(topology))

    def _figures(self, name: str, counters: Counters) -> Figures:
        serves = self._control.roster.verdict(name).state is MemberState.HEALTHY
        return figures(self._before.get(name), counters, self._cores, serves=serves)

    def _shard(
        self, shard: Shard, known: dict[str, Figures], stats: dict[str, storage_pb2.GetStatsResponse]
    ) -> ShardFigures:
        primary = None if shard.primary is None else shard.primary.name
        answer = None if primary is None else stats.get(primary)
        wanted = [
            replica.name
            for replica in shard.replicas
            if self._control.roster.verdict(replica.name).state is not MemberState.LEFT
        ]
        return ShardFigures(
            id=shard.id,
            wanted=len(wanted),
            replicas=tuple(known[name] for name in wanted if name in known),
            primary=None if primary is None else known.get(primary),
            bytes=None if answer is None else float(answer.bytes),
        )

    async def _ask(self, member: Member, room: asyncio.Semaphore) -> storage_pb2.GetStatsResponse | None:
        async with room:
            stub = storage_pb2_grpc.StorageStub(await self._channel(member.address))
            try:
                answer: storage_pb2.GetStatsResponse = await stub.GetStats(
                    storage_pb2.GetStatsRequest(), timeout=_TIMEOUT
                )
            except grpc.aio.AioRpcError:
                return None
            # Another program may have taken the port.
            return answer if answer.name == member.name else None

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


def _counters(now: float, stats: storage_pb2.GetStatsResponse) -> Counters:
    return Counters(
        at=now,
        uptime=stats.uptime_ms / 1000,
        cpu=stats.cpu_us / 1e6,
        hits=stats.cache.hits,
        misses=stats.cache.misses,
        cache_bytes=stats.cache.bytes,
        capacity=stats.cache.capacity_bytes,
    )


def _busy(topology: Topology) -> str:
    return next(_reasons(topology), "")


def _reasons(topology: Topology) -> Iterator[str]:
    if any(under_way(move) for move in topology.moves):
        yield "moves are under way"
    for shard in topology.shards:
        if shard.successor is not None:
            yield f"another incarnation of shard {shard.id} is wanted"
        elif shard.primary is None:
            yield f"shard {shard.id} has no primary yet"
