"""What this client has under way at each server, and how long its answers take. Thread-safe."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

# Of the latency average: an answer this many seconds ago weighs 1/e.
DECAY_SECONDS = 10.0
# A server that has not answered yet is taken for a quick one, so that it is tried.
UNKNOWN_LATENCY = 0.001


class Loads:
    """Calls in flight, and a peak-sensitive moving average of latency: it rises at once and falls slowly
    (Finagle's "peak EWMA"), so that a server that has become slow is left before many calls wait for it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight: dict[str, int] = {}
        self._latency: dict[str, tuple[float, float]] = {}
        self._singles: dict[str, tuple[float, float]] = {}

    def began(self, address: str) -> float:
        """A call goes to ``address``; returns the time, for `ended`."""
        with self._lock:
            self._in_flight[address] = self._in_flight.get(address, 0) + 1
        return self._clock()

    def ended(self, address: str, began: float, single: bool = False) -> None:
        """It was answered, or has failed: what fails fast is the ejections' to deal with. ``single``: a read
        of one key, which compares with others of its kind.
        """
        now = self._clock()
        with self._lock:
            left = self._in_flight.get(address, 0) - 1
            if left > 0:
                self._in_flight[address] = left
            else:
                self._in_flight.pop(address, None)
            _average(self._latency, address, now - began, now)
            if single:
                _average(self._singles, address, now - began, now)

    def in_flight(self, address: str) -> int:
        """Calls under way."""
        return self._in_flight.get(address, 0)

    def cost(self, address: str) -> float:
        """Seconds that one more call may be expected to wait."""
        average, _ = self._latency.get(address, (UNKNOWN_LATENCY, 0.0))
        return max(average, 1e-6) * (self.in_flight(address) + 1)

    def latency(self, address: str) -> float | None:
        """The average of single reads in seconds, None = it has not answered any yet."""
        known = self._singles.get(address)
        return None if known is None else known[0]

    def forget(self, address: str) -> None:
        """Judge it anew."""
        with self._lock:
            self._singles.pop(address, None)

    def retain(self, addresses: frozenset[str]) -> None:
        """Forget the latency of servers that are gone."""
        with self._lock:
            for averages in (self._latency, self._singles):
                for gone in averages.keys() - addresses:
                    del averages[gone]


def _average(averages: dict[str, tuple[float, float]], address: str, took: float, now: float) -> None:
    average, at = averages.get(address, (0.0, now))
    weight = math.exp(-(now - at) / DECAY_SECONDS)
    averages[address] = (took if took > average else average * weight + took * (1 - weight), now)
