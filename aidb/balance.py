"""Which cache replica a read goes to.

Rendezvous hashing by stable name: each key has its own order of the replicas, so caches add up instead of
repeating each other, and a member that comes or goes moves only its own keys. The Rust client computes the
same order.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import xxhash

from aidb.topology import Member

EJECT_FOR = 0.25
EJECT_AT_MOST = 10.0


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


class Ejections:
    """Members that this client leaves alone because calls to them failed. Thread-safe.

    Local and short: the coordinator's health decides for everybody, later. The n-th failure in a row keeps a
    member out for a random time up to 0.25 s * 2^n, at most 10 s; one success lets it in again.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._out: dict[str, tuple[float, int]] = {}

    def failed(self, name: str, now: float) -> None:
        """A call to ``name`` failed at time ``now`` (seconds, monotonic)."""
        with self._lock:
            _, failures = self._out.get(name, (0.0, 0))
            longest = min(EJECT_AT_MOST, EJECT_FOR * 2.0 ** min(failures, 16))
            self._out[name] = (now + self._rng.uniform(longest / 2, longest), failures + 1)

    def succeeded(self, name: str) -> None:
        """A call to ``name`` was answered."""
        if name in self._out:
            with self._lock:
                self._out.pop(name, None)

    def retain(self, names: frozenset[str]) -> None:
        """Forget members that are gone."""
        with self._lock:
            self._out = {name: state for name, state in self._out.items() if name in names}

    def split(self, members: Sequence[Member], now: float) -> tuple[list[Member], list[Member]]:
        """Members to ask, and members left alone for now; both in the order given."""
        out = self._out
        if not out:
            return list(members), []
        asked: list[Member] = []
        left_alone: list[Member] = []
        for member in members:
            (left_alone if out.get(member.name, (0.0, 0))[0] > now else asked).append(member)
        return asked, left_alone
