"""What all calls of a client share: the view, the session's token, ejections, the retry budget. No I/O.

Moved slots are kept beside the view (M10): the route in the error holds for that slot at once, until a view
at least as new arrives.

Of a client that may use only the addresses that it was given (``through``), the view still says which shard
a slot is of, and so which entry of the token goes along; who is asked is always one of those addresses.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aidb.ejection import Ejections, is_outlier
from aidb.errors import AidbError, ErrorCode
from aidb.hedging import Hedging, Target
from aidb.loads import Loads
from aidb.options import Hedge, Pool, ReadBalance, Retry
from aidb.picker import Picker
from aidb.retry import RetryBudget
from aidb.slots import SLOT_COUNT
from aidb.token import SessionToken
from aidb.topology import NOBODY, Member, View
from aidb.v1 import common_pb2

EMPTY_VIEW = View("", 0, 0, array("H", [NOBODY]) * SLOT_COUNT, {}, ())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a slot is: its shard, and the members to ask, best first. Empty: nobody serves it as far as is
    known.
    """

    shard: int
    members: list[Member]


class Routing:
    """Shared state of a client. Thread-safe: views are immutable and swapped whole; the rest has its own
    locks.
    """

    def __init__(
        self,
        *,
        retry: Retry | None = None,
        pool: Pool | None = None,
        balance: ReadBalance = "rendezvous",
        hedge: Hedge | None = None,
        keyspace: int = 0,
        token: bytes = b"",
        through: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.retry = retry or Retry()
        self.pool = pool or Pool()
        self.keyspace = keyspace
        self.token = SessionToken(token)
        self.clock = clock
        self.wall_clock = wall_clock
        self.rng = rng or random.Random()
        self.ejections = Ejections(self.rng)
        self.budget = RetryBudget(self.retry, clock())
        self.client_id = secrets.randbits(64) or 1
        self.loads = Loads(clock)
        self.hedging = None if hedge is None else Hedging(hedge)
        # The client stays with one of them until that fails: in its own order, so that clients spread.
        self.through = tuple(Member(address, address) for address in self.rng.sample(through, len(through)))
        self.reached = False  # some member has ever answered
        self._picker = Picker(balance, self.loads, self.rng)
        self._next_seq = 1
        self._lock = threading.Lock()
        self._view = EMPTY_VIEW
        self._moved: dict[int, common_pb2.Route] = {}
        self.topology_version = 0  # the newest heard of, in a view or a MOVED answer (M10)
        # Shards of which the session saw what a takeover has lost. Whoever is asked next says so: slots of
        # theirs may have moved there (C5, s4).
        self.lost: frozenset[int] = frozenset()

    @property
    def view(self) -> View:
        """The newest view."""
        return self._view

    def adopt(self, view: View) -> bool:
        """Route by ``view`` from now on; False when it is not newer, or of another cluster."""
        with self._lock:
            known = self._view.cluster_uid
            if known and view.cluster_uid != known or not view.newer_than(self._view):
                return False
            self._view = view
            self.topology_version = max(self.topology_version, view.version)
            self._moved = {
                slot: route for slot, route in self._moved.items() if route.topology_version > view.version
            }
        self._look_for_losses()
        names = frozenset(member.name for member in self.through or view.members())
        self.ejections.retain(names)
        self._picker.seen(names, self.clock())
        self.loads.retain(self._addresses_of(view))
        return True

    def members(self) -> list[Member]:
        """All that may be asked."""
        return list(self.through or self._view.members())

    def _addresses_of(self, view: View) -> frozenset[str]:
        return frozenset(member.address for member in self.through) or view.addresses

    def learn(self, route: common_pb2.Route) -> None:
        """Believe a MOVED answer about its slot, unless the view is at least as new."""
        with self._lock:
            if route.slot < SLOT_COUNT and (
                route.topology_version > self._view.version
                or self._view.owners[route.slot] != route.shard
                and route.topology_version == self._view.version
            ):
                self._moved = {**self._moved, route.slot: route}
                self.topology_version = max(self.topology_version, route.topology_version)

    def addresses(self) -> frozenset[str]:
        """Every address that calls may go to."""
        known, moved = self._addresses_of(self._view), self._moved
        return known if self.through else known | {route.address for route in moved.values()}

    def take_seqs(self, count: int) -> int:
        """Reserve ``count`` request sequence numbers; returns the first."""
        with self._lock:
            first = self._next_seq
            self._next_seq += count
            return first

    def primary(self, slot: int) -> Place | None:
        """Where writes and strong reads of ``slot`` go; None when nobody owns it."""
        route = self._moved.get(slot)
        if self.through:
            shard_id = self._view.owners[slot] if route is None else route.shard
            return None if shard_id == NOBODY else Place(shard_id, self._gates())
        if route is not None:
            shard = self._view.shards.get(route.shard)
            if shard is not None and shard.primary is not None and shard.primary.address == route.address:
                return Place(route.shard, [shard.primary])
            return Place(route.shard, [Member(f"shard {route.shard}", route.address)])
        owner = self._view.shard_of(slot)
        if owner is None:
            return None
        return Place(owner.id, [] if owner.primary is None else [owner.primary])

    def readers(self, slot: int, key: bytes) -> Place | None:
        """Where reads of ``key`` go: replicas, then the primary, then members that failed of late."""
        place = self.primary(slot)
        if place is None or self.through:
            return place
        shard = self._view.shards.get(place.shard)
        if shard is None or not shard.replicas:
            return place
        now = self.clock()
        replicas = self._picker.order(shard.replicas, key, now)
        asked, left_alone = self.ejections.split(replicas, now)
        return Place(place.shard, [*asked, *place.members, *left_alone])

    def _gates(self) -> list[Member]:
        asked, left_alone = self.ejections.split(self.through, self.clock())
        return [*asked, *left_alone]

    def target(self, shard: int, member: Member) -> Target:
        """What kind of member ``member`` is."""
        known = self._view.shards.get(shard)
        return "replica" if known is not None and member in known.replicas else "primary"

    def answered(self, member: Member, header: common_pb2.ResponseHeader, read: bytes | None = None) -> None:
        """A member answered: merge the token it gave. ``read``: the one key that was read."""
        self.reached = True
        if header.hot and read is not None:
            self._picker.told_hot(read, self.clock())
        self.ejections.succeeded(member.name, self.clock())
        self._judge_latency(member, header.shard)
        self.token.merge(header.token)
        known = self._view.shards.get(header.shard)
        if known is not None and self.token.epoch(header.shard) < known.epoch:
            self._look_for_losses()

    def _look_for_losses(self) -> None:
        shards = self._view.shards

        def has_lost(shard: int, epoch: int, lsn: int) -> bool:
            return shard in shards and shards[shard].has_lost(epoch, lsn)

        self.lost = self.token.lost(has_lost)

    def _judge_latency(self, member: Member, shard: int) -> None:
        known = self._view.shards.get(shard)
        latency = self.loads.latency(member.address)
        if known is None or latency is None or member not in known.replicas:
            return
        siblings = [self.loads.latency(other.address) for other in known.replicas if other is not member]
        if is_outlier(latency, [seconds for seconds in siblings if seconds is not None]):
            self.ejections.failed(member.name, self.clock())
            self.loads.forget(member.address)

    def reported(self, error: AidbError) -> None:
        """An error goes to the application: a broken session is reported once."""
        if error.code == ErrorCode.SESSION_BROKEN and error.shard is not None:
            self.token.forget(error.shard)
            self.lost -= {error.shard}
