"""In which order a shard's cache replicas are asked. No I/O.

- rendezvous (the default): by key, so that caches add up; with bounded load: a replica that has 1.25 times
  its share of this client's calls in flight is passed over, so that a hot key spreads over the others
  (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016). What is in flight of one
  client tells nothing of a thousand others: a key that a cache calls hot goes to all of them in turn.
- two_choices: of two at random, the one whose in-flight calls times latency are less (Mitzenmacher 2001).
- least_loaded: the fewest calls in flight. round_robin. random.

Whatever the order, a replica that has just appeared is asked more and more often over ten seconds (slow
start): its cache is cold, and all of a shard's misses at once would fall on the primary.
"""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections.abc import Sequence

from aidb.balance import rendezvous_order, rotation
from aidb.hot import HotKeys
from aidb.loads import Loads
from aidb.options import ReadBalance
from aidb.topology import Member

LOAD_FACTOR = 1.25
SLOW_START_SECONDS = 10.0


class Picker:
    """Thread-safe."""

    def __init__(self, balance: ReadBalance, loads: Loads, rng: random.Random) -> None:
        self._balance = balance
        self._loads = loads
        self._rng = rng
        self._turns = itertools.count()
        self._hot = HotKeys()
        # Clients that begin alike would follow each other from replica to replica.
        self._hot_turns = itertools.count(rng.randrange(1 << 16))
        self._lock = threading.Lock()
        self._known: frozenset[str] | None = None
        self._appeared: dict[str, float] = {}

    def seen(self, names: frozenset[str], now: float) -> None:
        """These members are in the newest view. Those of the first view count as warm."""
        with self._lock:
            new = names - self._known if self._known is not None else frozenset()
            young = {name: at for name, at in self._appeared.items() if name in names}
            self._appeared = {**young, **dict.fromkeys(new, now)}
            self._known = names

    def order(self, members: Sequence[Member], key: bytes, now: float) -> list[Member]:
        """``members`` in the order in which to ask them for ``key``."""
        return self._slow_start(self._ordered(members, key, now), now)

    def told_hot(self, key: bytes, now: float) -> None:
        """A cache says that ``key`` is hot."""
        self._hot.told(key, now)

    def _ordered(self, members: Sequence[Member], key: bytes, now: float) -> list[Member]:
        match self._balance:
            case "rendezvous":
                order = rendezvous_order(members, key)
                if self._hot.contains(key, now):
                    order = rotation(order, next(self._hot_turns))
                return self._bounded(order)
            case "round_robin":
                return rotation(members, next(self._turns))
            case "random":
                return self._shuffled(members)
            case "least_loaded":
                # Shuffled first: the sort is stable, so that ties are broken at random.
                return sorted(
                    self._shuffled(members), key=lambda member: self._loads.in_flight(member.address)
                )
            case "two_choices":
                first, *rest = self._shuffled(members)
                if rest and self._loads.cost(rest[0].address) < self._loads.cost(first.address):
                    return [rest[0], first, *rest[1:]]
                return [first, *rest]

    def _shuffled(self, members: Sequence[Member]) -> list[Member]:
        return self._rng.sample(members, len(members))

    def _bounded(self, members: list[Member]) -> list[Member]:
        in_flight = [self._loads.in_flight(member.address) for member in members]
        most = math.ceil(LOAD_FACTOR * (sum(in_flight) + 1) / len(members))
        if max(in_flight) < most:
            return members
        loaded = zip(members, in_flight, strict=True)
        return [member for member, _ in sorted(loaded, key=lambda pair: pair[1] >= most)]

    def _slow_start(self, members: list[Member], now: float) -> list[Member]:
        if not self._appeared:
            return members
        return sorted(members, key=lambda member: self._too_young(member.name, now))

    def _too_young(self, name: str, now: float) -> bool:
        appeared = self._appeared.get(name)
        if appeared is None:
            return False
        age = now - appeared
        if age >= SLOW_START_SECONDS:
            with self._lock:
                self._appeared = {other: at for other, at in self._appeared.items() if other != name}
            return False
        return self._rng.random() >= age / SLOW_START_SECONDS
