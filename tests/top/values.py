"""Looks at clusters that there are not."""

from __future__ import annotations

from aidb.cli.top.seen import Seen
from aidb.v1 import cluster_pb2 as cluster
from aidb.v1 import storage_pb2 as storage


def stats(
    role: str, gets: int = 0, puts: int = 0, busy: int = 0, hits: int = 0, misses: int = 0, us: int = 0
) -> storage.GetStatsResponse:
    """``us``: what each get took, a power of two."""
    answer = storage.GetStatsResponse(role=role, requests=gets + busy + puts)
    answer.load.reads, answer.load.writes = gets, puts
    get = answer.methods.add(method="Get", us_buckets=[0] * 25)
    get.codes.add(code="OK", requests=gets)
    get.codes.add(code="BUSY", requests=busy)
    get.us_buckets[us.bit_length()] = gets
    answer.methods.add(method="Put", us_buckets=[0] * 25).codes.add(code="OK", requests=puts)
    if role == "replica":
        answer.cache.hits, answer.cache.misses = hits, misses
    return answer


def member(name: str, role: int, state: int = cluster.MEMBER_HEALTHY) -> cluster.MemberStatus:
    described = cluster.Member(name=name, role=cluster.Role.ValueType(role), address=f"{name}:1")
    return cluster.MemberStatus(member=described, state=cluster.MemberState.ValueType(state))


def shard(number: int, state: int = cluster.SHARD_RUNNING) -> cluster.ShardStatus:
    return cluster.ShardStatus(
        id=number,
        state=cluster.ShardState.ValueType(state),
        slots=100,
        primary=member(f"p{number}", cluster.ROLE_PRIMARY),
        replicas=[member(f"r{number}", cluster.ROLE_REPLICA)],
    )


def seen(at: float, *shards: cluster.ShardStatus, **of: storage.GetStatsResponse) -> Seen:
    return Seen(at, cluster.ClusterStatus(cluster_uid="0123456789", shards=shards), stats=dict(of))
