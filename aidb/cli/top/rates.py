"""Figures of a time between two looks at counters. Pure.

A counter that fell belongs to a program that began again: it counts from zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aidb.v1 import storage_pb2 as pb


@dataclass(frozen=True, slots=True)
class Rates:
    """A second; `read_seconds`: the 99th percentile of reads, None where nothing was asked. Of routers it is
    not known what they are asked for: `requests` are all.
    """

    requests: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    read_seconds: float | None = None
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
        reads=_rise(before.load.reads, after.load.reads) / seconds,
        writes=_rise(before.load.writes, after.load.writes) / seconds,
        read_seconds=quantile(0.99, _rises(before.load.read_us_buckets, after.load.read_us_buckets)),
        hits=_rise(before.cache.hits, after.cache.hits) / seconds,
        misses=_rise(before.cache.misses, after.cache.misses) / seconds,
        cpu=_rise(before.cpu_us, after.cpu_us) / 1e6 / seconds,
    )


def together(rates: Iterable[Rates]) -> Rates:
    """Of several members; of times, the longest."""
    every = list(rates)
    return Rates(
        requests=sum(one.requests for one in every),
        reads=sum(one.reads for one in every),
        writes=sum(one.writes for one in every),
        read_seconds=max((one.read_seconds for one in every if one.read_seconds is not None), default=None),
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


def _rise(before: int, after: int) -> int:
    return after - before if after >= before else after


def _rises(before: Sequence[int], after: Sequence[int]) -> list[int]:
    if len(before) != len(after) or sum(before) > sum(after):
        return list(after)
    return [new - old for old, new in zip(before, after, strict=True)]
