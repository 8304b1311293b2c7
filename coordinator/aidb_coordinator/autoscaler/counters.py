"""From what a program counts since it began to figures of the time between two looks."""

from __future__ import annotations

from dataclasses import dataclass

from aidb_coordinator.autoscaler.history import Figures

# A cache that began later than this holds little, and says nothing about how many there should be.
WARM_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one program. at, uptime: seconds. cpu: seconds of all its threads. capacity 0: it has no cache.
    timed_reads: those that read_seconds is the sum of. None: it does not count them.
    """

    at: float
    uptime: float
    cpu: float
    hits: int = 0
    misses: int = 0
    cache_bytes: int = 0
    capacity: int = 0
    writes: int | None = None
    timed_reads: int | None = None
    read_seconds: float = 0.0


def figures(before: Counters | None, now: Counters, cores: float, *, serves: bool) -> Figures:
    """`cores`: those that the program may use. Without `before`, or when it began anew since, rates are not
    known.
    """
    full = now.cache_bytes / now.capacity if now.capacity else None
    ready = serves and now.uptime >= WARM_SECONDS
    if before is None or not _follows(before, now):
        return Figures(ready=ready, cache_full=full)
    reads = now.hits + now.misses - before.hits - before.misses
    ratio = (now.hits - before.hits) / reads if reads > 0 else 1.0
    return Figures(
        ready=ready,
        cpu=max(0.0, (now.cpu - before.cpu) / (now.at - before.at) / cores),
        read_ms=_read_ms(before, now),
        hit_ratio=ratio if now.capacity else None,
        cache_full=full,
    )


def writes_per_second(before: Counters | None, now: Counters) -> float | None:
    """None where it is not known."""
    if before is None or before.writes is None or now.writes is None or not _follows(before, now):
        return None
    return max(0, now.writes - before.writes) / (now.at - before.at)


def _read_ms(before: Counters, now: Counters) -> float | None:
    """Mean; 0 when none was timed."""
    if before.timed_reads is None or now.timed_reads is None:
        return None
    timed = now.timed_reads - before.timed_reads
    return max(0.0, now.read_seconds - before.read_seconds) * 1000 / timed if timed > 0 else 0.0


def _follows(before: Counters, now: Counters) -> bool:
    """Whether it is the same program that counted both."""
    return 0 < now.at - before.at <= now.uptime and now.uptime >= before.uptime
