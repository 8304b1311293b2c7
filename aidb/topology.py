"""The client's copy of the topology: an immutable view made from the coordinator's document and member
health.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from aidb.slots import SLOT_COUNT
from aidb.v1 import cluster_pb2

NOBODY = 0xFFFF

_UNREADABLE = frozenset(
    {cluster_pb2.MEMBER_STARTING, cluster_pb2.MEMBER_FAILED, cluster_pb2.MEMBER_LEFT},
)


@dataclass(frozen=True, slots=True)
class Member:
    """A program that serves Storage. ``name`` is stable over restarts, ``address`` (host:port) is not."""

    name: str
    address: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as clients need it: ``replicas`` are those that may be read; ``cuts``: (epoch, LSN) through
    which what was written in that epoch, or an earlier one, is still there.
    """

    id: int
    epoch: int
    primary: Member | None
    replicas: tuple[Member, ...]
    cuts: tuple[tuple[int, int], ...] = ()

    def has_lost(self, epoch: int, lsn: int) -> bool:
        """Whether what was seen at that position is gone (C5), as far as the cuts go back."""
        return 0 < epoch < self.epoch and any(cut < lsn for ended, cut in self.cuts if ended >= epoch)


@dataclass(frozen=True)
class View:
    """What the client routes by. ``owners[slot]`` is a shard id, or `NOBODY`."""

    cluster_uid: str
    version: int
    health_version: int
    owners: array[int]
    shards: dict[int, Shard]
    routers: tuple[Member, ...]

    @classmethod
    def of(cls, message: cluster_pb2.ClusterView) -> View:
        """Raises ValueError when the document is not one that this client understands."""
        topology = message.topology
        owners = array("H", topology.slot_owners)
        if sys.byteorder == "little":
            owners.byteswap()
        if len(owners) != SLOT_COUNT:
            raise ValueError(f"the topology names {len(owners)} slots, not {SLOT_COUNT}")
        states = {member.name: member.state for member in message.health.members}
        shards = {
            shard.id: Shard(
                shard.id,
                shard.epoch,
                _member(shard.primary) if shard.primary.address else None,
                tuple(
                    _member(replica)
                    for replica in shard.replicas
                    if replica.address and states.get(replica.name) not in _UNREADABLE
                ),
                tuple((cut.epoch, cut.lsn) for cut in shard.cuts),
            )
            for shard in topology.shards
        }
        return cls(
            topology.cluster_uid,
            topology.version,
            message.health.version,
            owners,
            shards,
            tuple(_member(router) for router in topology.routers if router.address),
        )

    def newer_than(self, other: View) -> bool:
        """Later topology, or the same with later health."""
        return (self.version, self.health_version) > (other.version, other.health_version)

    def shard_of(self, slot: int) -> Shard | None:
        """The owner of ``slot``, None when nobody owns it."""
        return self.shards.get(self.owners[slot])

    def members(self) -> Iterator[Member]:
        """All that may be asked, primaries first."""
        for shard in self.shards.values():
            if shard.primary is not None:
                yield shard.primary
        for shard in self.shards.values():
            yield from shard.replicas
        yield from self.routers

    @cached_property
    def addresses(self) -> frozenset[str]:
        """Of all members."""
        return frozenset(member.address for member in self.members())


def _member(message: cluster_pb2.Member) -> Member:
    return Member(message.name, message.address, message.zone)
