"""The coordinator's clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _elapsed() -> float:
    """Goes on while the machine sleeps, as the nodes' does: a lease does not wait (D1, D2)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` in seconds, `wall_ms` in milliseconds since the epoch."""

    monotonic: Callable[[], float] = _elapsed if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
