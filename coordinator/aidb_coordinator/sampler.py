"""What every member counts, asked for at each interval: samples for the autoscaler, and the load of slots.

Members that do not answer are missing in the sample.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from aidb.v1 import node_pb2, storage_pb2
from aidb_coordinator.autoscaler import Figures, Sample, ShardFigures
from aidb_coordinator.autoscaler.counters import Counters, figures, writes_per_second
from aidb_coordinator.control import Control
from aidb_coordinator.dial import Dialer
from aidb_coordinator.health import MemberState
from aidb_coordinator.hot_spots import NOTHING, spots
from aidb_coordinator.members import Members
from aidb_coordinator.rebalance import under_way
from aidb_coordinator.slot_load import MOST_KEYS, Counted, SlotLoad
from aidb_coordinator.topology import Member, Shard, Topology, unpack_owners

_GONE = (MemberState.LEFT, MemberState.FAILED)
# Primaries work out sizes of slots for that: as seldom as this, seconds.
_SIZES_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of one member."""

    stats: storage_pb2.GetStatsResponse
    counters: Counters
    counted: Counted | None
    sizes: tuple[node_pb2.SlotSizes, ...]


class Sampler:
    """`load`, `spots`: as of the newest sample; `second_copies` what primaries last said of theirs, and when
    (monotonic seconds), by shard. Read only.
    """

    def __init__(self, control: Control, dialer: Dialer) -> None:
        self._control = control
        self._members = Members(dialer)
        self._cores = control.settings.member_cores
        self._before: dict[str, _Answer] = {}
        self.load = SlotLoad()
        self.spots = NOTHING
        self.second_copies: dict[int, tuple[float, storage_pb2.DurabilityStats]] = {}

    async def close(self) -> None:
        """Hang up."""
        await self._members.close()

    async def sample(self, now: float) -> Sample:
        topology = self._control.topology
        present = [
            member
            for shard in topology.shards
            for member in shard.members()
            if self._control.roster.verdict(member.name).state not in _GONE
        ]
        heard = await asyncio.gather(*(self._ask(member, now) for member in present))
        answers = {
            member.name: answer for member, answer in zip(present, heard, strict=True) if answer is not None
        }
        self._take_load(topology, answers)
        self._take_second_copies(topology, answers)
        shards = tuple(self._shard(shard, answers) for shard in topology.shards)
        # Of who does not answer once, the next rates are of twice the time.
        heard_of = {**self._before, **answers}
        self._before = {member.name: heard_of[member.name] for member in present if member.name in heard_of}
        await self._members.retain(present)
        return Sample(now, shards, _busy(topology))

    async def _ask(self, member: Member, now: float) -> _Answer | None:
        due = now - self.load.sized.get(member.shard, -_SIZES_EVERY) >= _SIZES_EVERY
        stats, load = await asyncio.gather(
            self._members.stats(member), self._members.load(member, MOST_KEYS, sizes=due)
        )
        if stats is None:
            return None
        counted = None if load is None else _counted(now, stats, load)
        return _Answer(stats, _counters(now, stats), counted, () if load is None else tuple(load.sizes))

    def _take_load(self, topology: Topology, answers: dict[str, _Answer]) -> None:
        self.load.retain(shard.id for shard in topology.shards)
        owned: dict[int, list[int]] = {}
        for slot, owner in enumerate(unpack_owners(topology.slot_owners)):
            owned.setdefault(owner, []).append(slot)
        for shard in topology.shards:
            primary = None if shard.primary is None else answers.get(shard.primary.name)
            if primary is None or primary.counted is None:
                continue
            members = [answers.get(member.name) for member in shard.members()]
            counted = [
                (self._counted_before(answer), answer.counted)
                for answer in members
                if answer is not None and answer.counted is not None
            ]
            self.load.take_counts(shard.id, owned.get(shard.id, ()), counted)
            if primary.sizes:
                sizes = [(one.first, one.bytes) for one in primary.sizes]
                self.load.take_sizes(shard.id, primary.counters.at, sizes)
        self.spots = spots(self.load, topology)

    def _take_second_copies(self, topology: Topology, answers: dict[str, _Answer]) -> None:
        found = {}
        for shard in topology.shards:
            answer = None if shard.primary is None else answers.get(shard.primary.name)
            if answer is not None:
                found[shard.id] = answer.counters.at, answer.stats.durability
            elif shard.id in self.second_copies:
                found[shard.id] = self.second_copies[shard.id]
        self.second_copies = found

    def _counted_before(self, answer: _Answer) -> Counted | None:
        before = self._before.get(answer.stats.name)
        return None if before is None else before.counted

    def _shard(self, shard: Shard, answers: dict[str, _Answer]) -> ShardFigures:
        primary = None if shard.primary is None else answers.get(shard.primary.name)
        wanted = [
            replica.name
            for replica in shard.replicas
            if self._control.roster.verdict(replica.name).state is not MemberState.LEFT
        ]
        return ShardFigures(
            id=shard.id,
            wanted=len(wanted),
            replicas=tuple(self._figures(answers[name]) for name in wanted if name in answers),
            primary=None if primary is None else self._figures(primary),
            bytes=None if primary is None else float(primary.stats.bytes),
            writes=None
            if primary is None
            else writes_per_second(self._counters_before(primary), primary.counters),
        )

    def _figures(self, answer: _Answer) -> Figures:
        serves = self._control.roster.verdict(answer.stats.name).state is MemberState.HEALTHY
        return figures(self._counters_before(answer), answer.counters, self._cores, serves=serves)

    def _counters_before(self, answer: _Answer) -> Counters | None:
        before = self._before.get(answer.stats.name)
        return None if before is None else before.counters


def _counters(now: float, stats: storage_pb2.GetStatsResponse) -> Counters:
    load = stats.load if stats.HasField("load") else None
    return Counters(
        at=now,
        uptime=stats.uptime_ms / 1000,
        cpu=stats.cpu_us / 1e6,
        hits=stats.cache.hits,
        misses=stats.cache.misses,
        cache_bytes=stats.cache.bytes,
        capacity=stats.cache.capacity_bytes,
        writes=None if load is None else load.writes,
        timed_reads=None if load is None else load.timed_reads,
        read_seconds=0.0 if load is None else load.read_us / 1e6,
    )


def _counted(now: float, stats: storage_pb2.GetStatsResponse, load: node_pb2.GetLoadResponse) -> Counted:
    return Counted(
        at=now,
        uptime=load.uptime_ms / 1000,
        slots={
            slot: (reads, writes)
            for slot, reads, writes in zip(load.slots, load.reads, load.writes, strict=False)
        },
        reads=stats.load.reads,
        writes=stats.load.writes,
        hot_reads=[(key.key, key.part_ppm / 1e6) for key in load.hot_reads],
        hot_writes=[(key.key, key.part_ppm / 1e6) for key in load.hot_writes],
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
