"""When a read that takes long is sent to a second member too, and how often that may be. No I/O.

The delay is the 95th percentile of recent answers of members of the same kind (caches answer from memory,
primaries from disk): so about one read in twenty would be hedged, and a budget holds their share below that
even when every member becomes slow (Dean, Barroso: The Tail at Scale, 2013). The Rust router decides by the
same rules; `tests/routing_cases.json` holds both to them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from aidb.options import Hedge

Target = Literal["replica", "primary"]

SAMPLES = 20
# Of the estimate: it rises by UP when an answer took longer and falls by DOWN when it did not, and stands
# still where one answer in twenty takes longer. (A histogram of a window was rejected: it costs more, and
# forgets at once what the window has left.)
UP = 1.095
DOWN = 0.995


class Quantile:
    """A running estimate of the 95th percentile."""

    __slots__ = ("samples", "value")

    def __init__(self) -> None:
        self.samples = 0
        self.value = 0.0

    def add(self, seconds: float) -> None:
        """One more answer took ``seconds``."""
        self.samples += 1
        if self.samples == 1:
            self.value = seconds
        else:
            self.value *= UP if seconds > self.value else DOWN


class HedgeBudget:
    """Each read earns a part of a hedge; at most ``burst`` are saved up. It begins empty."""

    def __init__(self, extra: float, burst: float) -> None:
        self._extra = extra
        self._burst = burst
        self._saved = 0.0

    def called(self) -> None:
        """A read begins."""
        self._saved = min(self._burst, self._saved + self._extra)

    def spend(self) -> bool:
        """Take one hedge; False when there is none."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class HedgeCounts:
    """``sent`` second reads; ``won`` of them answered first; ``denied`` were not sent for want of budget."""

    sent: int = 0
    won: int = 0
    denied: int = 0


class Hedging:
    """What the calls of one client share. Thread-safe."""

    def __init__(self, hedge: Hedge) -> None:
        self._least = hedge.least
        self._lock = threading.Lock()
        self._budget = HedgeBudget(hedge.extra, hedge.burst)
        self._latency: dict[Target, Quantile] = {"replica": Quantile(), "primary": Quantile()}
        self._sent = self._won = self._denied = 0

    def began(self, target: Target) -> float | None:
        """A read goes to a member of this kind; seconds after which it may be hedged, None = too few answers
        are known.
        """
        with self._lock:
            self._budget.called()
            known = self._latency[target]
            return max(self._least, known.value) if known.samples >= SAMPLES else None

    def answered(self, target: Target, seconds: float) -> None:
        """It took that long, or had taken that long when another was quicker."""
        with self._lock:
            self._latency[target].add(seconds)

    def spend(self) -> bool:
        """Whether a second read may be sent now."""
        with self._lock:
            allowed = self._budget.spend()
            self._sent += allowed
            self._denied += not allowed
            return allowed

    def second_won(self) -> None:
        """The second read was answered first."""
        with self._lock:
            self._won += 1

    def counts(self) -> HedgeCounts:
        """Since the client was made."""
        with self._lock:
            return HedgeCounts(self._sent, self._won, self._denied)
