"""What `aidb top` shows, worked out from two looks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from aidb.cli.top.rates import Rates, between, together
from aidb.cli.top.seen import Seen, members
from aidb.v1 import cluster_pb2 as cluster
from aidb.v1 import storage_pb2 as storage

Sort = Literal["shard", "state", "reads", "writes", "latency", "bytes"]
SORTS: tuple[Sort, ...] = ("shard", "state", "reads", "writes", "latency", "bytes")
# The worst first.
_STATES = {cluster.SHARD_STOPPED: 0, cluster.SHARD_DEGRADED: 1, cluster.SHARD_INITIALIZING: 2}
_ENDED_OPERATIONS = frozenset({"done", "failed", "cancelled"})
_ENDED_MOVES = frozenset({"committed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class MemberRow:
    """``rates`` None: it did not answer for itself."""

    status: cluster.MemberStatus
    rates: Rates | None

    @property
    def healthy(self) -> bool:
        return self.status.state == cluster.MEMBER_HEALTHY


@dataclass(frozen=True, slots=True)
class ShardRow:
    """``rates``: of all its members; what a cache forwards counts at the primary as well."""

    status: cluster.ShardStatus
    rates: Rates
    members: tuple[MemberRow, ...]
    measured: bool

    @property
    def replicas(self) -> tuple[int, int]:
        """Healthy ones, and all."""
        states = [one.state == cluster.MEMBER_HEALTHY for one in self.status.replicas]
        return sum(states), len(states)


@dataclass(frozen=True, slots=True)
class Work:
    """Something under way; ``part`` None: nobody can tell how far it is."""

    what: str
    step: str
    part: float | None
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    status: cluster.ClusterStatus
    shards: tuple[ShardRow, ...]
    routers: tuple[MemberRow, ...]
    clients: Rates
    under_way: tuple[Work, ...]

    @property
    def unhealthy(self) -> list[MemberRow]:
        every = [*self.routers, *(member for shard in self.shards for member in shard.members)]
        return [member for member in every if not member.healthy]


def board(before: Seen | None, now: Seen, sort: Sort = "shard") -> Board:
    """Rates are those between the looks; with one look alone there are none."""
    rates: dict[str, Rates] = {}
    if before is not None and now.at > before.at:
        rates = {
            name: between(before.stats[name], stats, now.at - before.at)
            for name, stats in now.stats.items()
            if name in before.stats
        }
    shards = [_shard(shard, rates) for shard in now.status.shards]
    shards.sort(key=lambda row: _order(row, sort))
    routers = tuple(MemberRow(one, rates.get(one.member.name)) for one in now.status.routers)
    return Board(
        now.status,
        tuple(shards),
        routers,
        together(_by_clients(shards)),
        (*_operations(now.operations), *_moves(now.moves), *_successors(now.status), *_backups(now)),
    )


def _shard(shard: cluster.ShardStatus, rates: dict[str, Rates]) -> ShardRow:
    of_shard = cluster.ClusterStatus(shards=[shard])
    rows = tuple(MemberRow(one, rates.get(one.member.name)) for one in members(of_shard))
    measured = [row.rates for row in rows if row.rates is not None]
    if measured or not shard.HasField("load"):
        return ShardRow(shard, together(measured), rows, bool(measured))
    # What the coordinator knows: for those who reach nobody else.
    load = Rates(reads=float(shard.load.reads), writes=float(shard.load.writes))
    return ShardRow(shard, load, rows, measured=False)


def _by_clients(shards: Iterable[ShardRow]) -> Iterable[Rates]:
    """A shard's reads are those of its members without what caches passed on, writes those of the primary."""
    for shard in shards:
        if not shard.measured:
            yield shard.rates
            continue
        missed = sum(row.rates.misses for row in shard.members if row.rates is not None)
        for row in shard.members:
            if row.rates is None:
                continue
            is_primary = row.status.member.role == cluster.ROLE_PRIMARY
            yield replace(
                row.rates,
                reads=max(0.0, row.rates.reads - missed) if is_primary else row.rates.reads,
                writes=row.rates.writes if is_primary else 0.0,
            )


def _order(row: ShardRow, sort: Sort) -> tuple[float, int]:
    """Ties by id."""
    figure: dict[Sort, float] = {
        "shard": 0.0,
        "state": float(_STATES.get(row.status.state, 9)),
        "reads": -row.rates.reads,
        "writes": -row.rates.writes,
        "latency": -(row.rates.get_seconds or 0.0),
        "bytes": -float(row.status.bytes),
    }
    return figure[sort], row.status.id


def _operations(operations: Iterable[cluster.Operation]) -> Iterable[Work]:
    for one in operations:
        if one.state in _ENDED_OPERATIONS:
            continue
        progress = one.progress
        shards = ", ".join(map(str, one.shards))
        yield Work(
            f"{one.kind.replace('_', ' ')} {shards}".strip(),
            one.phase.replace("_", " ") if one.state == "running" else one.state,
            progress.slots_done / progress.slots if progress.slots else None,
            f"{progress.slots_done} of {progress.slots} slots" if progress.slots else "",
            one.error or one.waits_for,
        )


def _moves(moves: Iterable[cluster.MoveStatus]) -> Iterable[Work]:
    for one in moves:
        move, progress = one.move, one.progress
        if move.step in _ENDED_MOVES:
            continue
        slots = sum(span.last - span.first + 1 for span in move.slots)
        part = min(1.0, progress.bytes / progress.bytes_total) if progress.bytes_total else None
        yield Work(
            f"move {slots} slots, {move.source} to {move.target}",
            progress.step or move.step,
            part,
            f"{progress.bytes_per_second / (1 << 20):.1f} MiB/s" if progress.bytes_per_second else "",
            move.reason,
        )


def _successors(status: cluster.ClusterStatus) -> Iterable[Work]:
    for shard in status.shards:
        if shard.HasField("successor"):
            successor = shard.successor.successor
            what = "hand-over" if successor.planned else "takeover"
            step = shard.successor.step or "wanted"
            yield Work(f"{what} of shard {shard.id}", step, None, "", successor.reason)


def _backups(now: Seen) -> Iterable[Work]:
    shards = {shard.primary.member.name: shard.id for shard in now.status.shards}
    for name, stats in now.stats.items():
        durability: storage.DurabilityStats = stats.durability
        if durability.snapshot_running and name in shards:
            total, done = durability.snapshot_bytes, durability.snapshot_bytes_done
            part = min(1.0, done / total) if total else None
            detail = f"{done / (1 << 20):.1f} of {total / (1 << 20):.1f} MiB"
            yield Work(f"backup of shard {shards[name]}", "uploading", part, detail)
