"""From when a taker may serve. Pure.

The old primary's newest evidence (D1) may have been sent just before its log was sealed, so it is waited for
T and the drift of clocks after the last seal (t4-t12). There is nothing to wait for where the old primary
itself sealed its log: it had stopped before (D6). Where its process is known to be gone, nobody is left to
acknowledge anything, but what it last showed may have been by a clock that was ahead of this one (V3, e7).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

DRIFT = 1 / 20


@dataclass(frozen=True, slots=True)
class Sealed:
    """`at`: when the last seal was answered or found, in seconds of the boot clock. `released`: the published
    primary had made it itself; `clock_ms` is then its shard's clock.
    """

    at: float
    released: bool = False
    clock_ms: int = 0


def boot_time() -> float:
    """Goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def turn(
    sealed: Sealed, *, lease: float, clock_bound: float, predecessor_dead: bool, wall_ms: int, now: float
) -> float:
    """The moment of the boot clock from which the taker may serve; times in seconds."""
    if sealed.released:
        behind = max(0.0, (sealed.clock_ms - wall_ms) / 1000)
        return now + min(behind, clock_bound)
    wait = lease * (1 + DRIFT)
    return sealed.at + (min(clock_bound, wait) if predecessor_dead else wait)
