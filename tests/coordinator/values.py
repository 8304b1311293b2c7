"""Small documents for tests."""

from __future__ import annotations

from aidb_coordinator.placement import first_table
from aidb_coordinator.topology import Member, Role, Shard, Topology


def topology(shards: int = 3) -> Topology:
    return Topology(
        cluster_uid="uid-1",
        slot_owners=first_table(range(shards)),
        shards=tuple(Shard(id=i) for i in range(shards)),
    )


def primary(shard: int = 0, address: str = "127.0.0.1:7001", name: str = "") -> Member:
    return Member(name or f"shard-{shard}-primary", address, Role.PRIMARY, shard)


def replica(shard: int = 0, number: int = 0, address: str = "127.0.0.1:7002") -> Member:
    return Member(f"shard-{shard}-replica-{number}", address, Role.REPLICA, shard)


def router(number: int = 0, address: str = "127.0.0.1:7003") -> Member:
    return Member(f"router-{number}", address, Role.ROUTER)
