"""Connections by address: which one a call takes, and when one is closed. No I/O: callers close what they are
handed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

C = TypeVar("C")


class Lease(Generic[C]):
    """A connection and the calls on it."""

    __slots__ = ("address", "channel", "in_flight", "retired")

    def __init__(self, address: str, channel: C) -> None:
        self.address = address
        self.channel = channel
        self.in_flight = 0
        self.retired = False


class ChannelPool(Generic[C]):
    """Up to ``size`` connections per address, opened when those there are busy. Thread-safe.

    A connection to a member that left is closed when its last call is done, so that leaving fails no call.
    """

    def __init__(self, open_channel: Callable[[str], C], size: int) -> None:
        self._open = open_channel
        self._size = size
        self._lock = threading.Lock()
        self._leases: dict[str, list[Lease[C]]] = {}
        self._closed = False

    def acquire(self, address: str) -> Lease[C] | None:
        """The least busy connection to ``address``; None when the pool is closed. Give it back with
        `release`.
        """
        with self._lock:
            if self._closed:
                return None
            leases = self._leases.setdefault(address, [])
            lease = min(leases, key=lambda lease: lease.in_flight, default=None)
            if lease is None or lease.in_flight > 0 and len(leases) < self._size:
                lease = Lease(address, self._open(address))
                leases.append(lease)
            lease.in_flight += 1
            return lease

    def release(self, lease: Lease[C]) -> C | None:
        """End of a call; the connection to close, if this was the last call on a retired one."""
        with self._lock:
            lease.in_flight -= 1
            if lease.retired and lease.in_flight == 0:
                return lease.channel
            return None

    def retain(self, addresses: frozenset[str]) -> list[C]:
        """Retire the connections to all other addresses; those to close now are returned."""
        idle: list[C] = []
        with self._lock:
            for address in [address for address in self._leases if address not in addresses]:
                for lease in self._leases.pop(address):
                    lease.retired = True
                    if lease.in_flight == 0:
                        idle.append(lease.channel)
        return idle

    def close(self) -> list[C]:
        """No more connections; all there are, to be closed with the calls on them."""
        with self._lock:
            self._closed = True
            channels = [lease.channel for leases in self._leases.values() for lease in leases]
            self._leases.clear()
            return channels
