"""From what a program counts since it began to figures of the time between two looks."""

from __future__ import annotations

from dataclasses import dataclass

from aidb_coordinator.autoscaler.history import Figures

# A cache that began later than this holds little, and says nothing about how many there should be.
WARM_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one program. at, uptime: seconds. cpu: seconds of all its threads. capacity 0: it has no cache."""

    at: float
    uptime: float
    cpu: float
    hits: int = 0
    misses: int = 0
    cache_bytes: int = 0
    capacity: int = 0


def figures(before: Counters | None, now: Counters, cores: float, *, serves: bool) -> Figures:
    """`cores`: those that the program may use. Without `before`, or when it began anew since, rates are not
    known.
    """
    full = now.cache_bytes / now.capacity if now.capacity else None
    ready = serves and now.uptime >= WARM_SECONDS
    if before is None or not 0 < now.at - before.at <= now.uptime or now.uptime < before.uptime:
        return Figures(ready=ready, cache_full=full)
    reads = now.hits + now.misses - before.hits - before.misses
    ratio = (now.hits - before.hits) / reads if reads > 0 else 1.0
    return Figures(
        ready=ready,
        cpu=max(0.0, (now.cpu - before.cpu) / (now.at - before.at) / cores),
        hit_ratio=ratio if now.capacity else None,
        cache_full=full,
    )
