"""Figures of a time between two looks at counters. Pure.

A counter that fell belongs to a program that began again: it counts from zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aidb.v1 import storage_pb2 as pb

# Ends of requests that are no failures: it was done, the client took it back, it is to be asked elsewhere, or
# its condition did not hold.
_GOOD = frozenset({"OK", "CANCELLED", "MOVED", "CONDITION_FAILED"})
# Methods whose calls carry no request of data.
_NO_REQUESTS = frozenset({"Pipeline", "Other"})


@dataclass(frozen=True, slots=True)
class Rates:
    """A second; `get_seconds` and `put_seconds`: the 99th percentile, None where nothing was asked. `reads`
    and `writes` are of keys, and those of routers are not known: `requests` are all, whatever they carry.
    """

    requests: float = 0.0
    failures: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    get_seconds: float | None = None
    put_seconds: float | None = None
    hits: float = 0.0
    misses: float = 0.0
    cpu: float = 0.0

    @property
    def hit_ratio(self) -> float | None:
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


def between(before: pb.GetStatsResponse, after: pb.GetStatsResponse, seconds: float) -> Rates:
    """Of one member. ``seconds`` > 0."""
    return Rates(
        requests=_rise(before.requests, after.requests) / seconds,
        failures=_rise(_failures(before), _failures(after)) / seconds,
        reads=_rise(before.load.reads, after.load.reads) / seconds,
        writes=_rise(before.load.writes, after.load.writes) / seconds,
        get_seconds=quantile(0.99, _rises(_buckets(before, "Get"), _buckets(after, "Get"))),
        put_seconds=quantile(0.99, _rises(_buckets(before, "Put"), _buckets(after, "Put"))),
        hits=_rise(before.cache.hits, after.cache.hits) / seconds,
        misses=_rise(before.cache.misses, after.cache.misses) / seconds,
        cpu=_rise(before.cpu_us, after.cpu_us) / 1e6 / seconds,
    )


def together(rates: Iterable[Rates]) -> Rates:
    """Of several members; of times, the longest."""
    every = list(rates)
    return Rates(
        requests=sum(one.requests for one in every),
        failures=sum(one.failures for one in every),
        reads=sum(one.reads for one in every),
        writes=sum(one.writes for one in every),
        get_seconds=max((one.get_seconds for one in every if one.get_seconds is not None), default=None),
        put_seconds=max((one.put_seconds for one in every if one.put_seconds is not None), default=None),
        hits=sum(one.hits for one in every),
        misses=sum(one.misses for one in every),
        cpu=sum(one.cpu for one in every),
    )


def quantile(part: float, counts: Sequence[int]) -> float | None:
    """Seconds below which ``part`` of the counted took; bucket i: less than 2^i microseconds. It is the upper
    end of a bucket: an estimate that is too high by a factor of two at most.
    """
    left = part * sum(counts)
    if not left:
        return None
    for bucket, count in enumerate(counts):
        left -= count
        if left <= 0:
            return float(2**bucket) / 1e6
    return float(2 ** (len(counts) - 1)) / 1e6


def _failures(stats: pb.GetStatsResponse) -> int:
    methods = (one for one in stats.methods if one.method not in _NO_REQUESTS)
    return sum(count.requests for one in methods for count in one.codes if count.code not in _GOOD)


def _buckets(stats: pb.GetStatsResponse, method: str) -> Sequence[int]:
    return next((one.us_buckets for one in stats.methods if one.method == method), ())


def _rise(before: int, after: int) -> int:
    return after - before if after >= before else after


def _rises(before: Sequence[int], after: Sequence[int]) -> list[int]:
    if len(before) != len(after) or sum(before) > sum(after):
        return list(after)
    return [new - old for old, new in zip(before, after, strict=True)]
