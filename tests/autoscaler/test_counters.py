"""Figures from what programs count."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator.autoscaler import Figures
from aidb_coordinator.autoscaler.counters import Counters, figures, writes_per_second

BEFORE = Counters(at=100, uptime=60, cpu=10, hits=1_000, misses=100, cache_bytes=50, capacity=100)


def test_rates_are_of_the_time_between() -> None:
    now = Counters(at=110, uptime=70, cpu=15, hits=1_900, misses=200, cache_bytes=80, capacity=100)
    assert figures(BEFORE, now, 2.0, serves=True) == Figures(True, 0.25, None, 0.9, 0.8)


def test_without_reads_nothing_was_missed() -> None:
    now = Counters(at=110, uptime=70, cpu=10, hits=1_000, misses=100, cache_bytes=50, capacity=100)
    assert figures(BEFORE, now, 2.0, serves=True) == Figures(True, 0.0, None, 1.0, 0.5)


def test_without_a_cache_there_is_no_ratio() -> None:
    before, now = Counters(100, 60, 10), Counters(110, 70, 11)
    assert figures(before, now, 1.0, serves=True) == Figures(True, 0.1)


@pytest.mark.parametrize(
    "before", [None, BEFORE, Counters(at=110, uptime=5, cpu=1)], ids=["first look", "began anew", "same time"]
)
def test_what_began_anew_has_no_rates_yet(before: Counters | None) -> None:
    now = Counters(at=110, uptime=5, cpu=1, hits=9, misses=1, cache_bytes=10, capacity=100)
    assert figures(before, now, 2.0, serves=True) == Figures(False, None, None, None, 0.1)


def test_who_does_not_serve_is_not_ready() -> None:
    now = Counters(at=110, uptime=70, cpu=15)
    assert not figures(BEFORE, now, 2.0, serves=False).ready


def test_latency_and_writes_are_those_of_the_time_between() -> None:
    before = Counters(at=100.0, uptime=60.0, cpu=1.0, writes=1_000, timed_reads=10, read_seconds=0.5)
    after = Counters(at=110.0, uptime=70.0, cpu=2.0, writes=3_000, timed_reads=30, read_seconds=0.6)
    assert figures(before, after, 1.0, serves=True).read_ms == pytest.approx(5.0)
    assert writes_per_second(before, after) == 200.0
    idle = replace(after, at=120.0, uptime=80.0)
    assert figures(after, idle, 1.0, serves=True).read_ms == 0.0
    assert writes_per_second(after, idle) == 0.0
    restarted = replace(after, at=120.0, uptime=3.0)
    assert writes_per_second(after, restarted) is None
    older = replace(idle, timed_reads=None, writes=None)
    assert figures(after, older, 1.0, serves=True).read_ms is None
    assert writes_per_second(after, older) is None
