"""Members that a client leaves alone for a while: calls to them fail, or take far longer than the others'.

Local and short: the coordinator's health decides for everybody, later. The Rust router decides by the same
rules; `tests/routing_cases.json` holds both to them.

- The n-th failure in a row keeps a member out for a random time up to 0.25 s * 2^n, at most 10 s.
- It comes back by degrees, over as long as it was out: each read asks it with a growing probability. An
  answer then counts its failures from zero again; a failure puts it out for longer.
- At most half of a shard's readers (replicas and primary, rounded up) are out: the rest would be buried.
  Those that are due first are let in.
- "Out" means asked last, not never.
"""

from __future__ import annotations

import random
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from aidb.topology import Member

EJECT_FOR = 0.25
EJECT_AT_MOST = 10.0
# A member is an outlier when its latency is so many times the median of its siblings', and not just small.
OUTLIER_FACTOR = 5.0
OUTLIER_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class _Out:
    until: float
    lasts: float
    failures: int


class Ejections:
    """Thread-safe."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._out: dict[str, _Out] = {}
        self.count = 0

    def failed(self, name: str, now: float) -> None:
        """A call to ``name`` failed at time ``now`` (seconds, monotonic), or it is an outlier."""
        with self._lock:
            known = self._out.get(name)
            failures = 0 if known is None else known.failures
            longest = min(EJECT_AT_MOST, EJECT_FOR * 2.0 ** min(failures, 16))
            lasts = self._rng.uniform(longest / 2, longest)
            self._out[name] = _Out(now + lasts, lasts, failures + 1)
            self.count += 1

    def succeeded(self, name: str, now: float) -> None:
        """A call to ``name`` was answered. While it is out this says nothing: the call may be an old one."""
        known = self._out.get(name)
        if known is None or now < known.until:
            return
        with self._lock:
            if now >= known.until + known.lasts:
                self._out.pop(name, None)
            elif known.failures:
                self._out[name] = _Out(known.until, known.lasts, 0)

    def retain(self, names: frozenset[str]) -> None:
        """Forget members that are gone."""
        with self._lock:
            self._out = {name: state for name, state in self._out.items() if name in names}

    def split(self, replicas: Sequence[Member], now: float) -> tuple[list[Member], list[Member]]:
        """Replicas of one shard to ask, and those left alone for now; both in the order given."""
        if not self._out:
            return list(replicas), []
        out = [member.name for member in replicas if self._is_out(member.name, now)]
        most = (len(replicas) + 2) // 2
        if len(out) > most:
            out = sorted(out, key=lambda name: (-self._until(name), name))[:most]
        asked = [member for member in replicas if member.name not in out]
        return asked, [member for member in replicas if member.name in out]

    def _is_out(self, name: str, now: float) -> bool:
        known = self._out.get(name)
        if known is None or now >= known.until + known.lasts:
            return False
        return now < known.until or self._rng.random() >= (now - known.until) / known.lasts

    def _until(self, name: str) -> float:
        known = self._out.get(name)
        return 0.0 if known is None else known.until


def is_outlier(latency: float, siblings: Sequence[float]) -> bool:
    """Whether a member that answers in ``latency`` seconds is too slow beside its siblings' latencies."""
    if not siblings or latency <= OUTLIER_LEAST:
        return False
    return latency > OUTLIER_FACTOR * statistics.median(siblings)
