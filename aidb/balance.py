"""Which cache replica a read goes to.

Rendezvous hashing by stable name: each key has its own order of the replicas, so caches add up instead of
repeating each other, and a member that comes or goes moves only its own keys. The Rust client computes the
same order.
"""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

from aidb.topology import Member


def rendezvous_order(members: Sequence[Member], key: bytes) -> list[Member]:
    """Members by xxh3_64(name, 0x00, key), highest first; ties by name."""
    return sorted(
        members,
        key=lambda member: (-xxhash.xxh3_64_intdigest(member.name.encode() + b"\0" + key), member.name),
    )


def rotation(members: Sequence[Member], turn: int) -> list[Member]:
    """Members beginning with the ``turn``-th: round robin."""
    if not members:
        return []
    first = turn % len(members)
    return [*members[first:], *members[:first]]
