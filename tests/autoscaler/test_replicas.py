"""Replicas of a shard: CPU, latency, hit ratio, and what is not known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from aidb_coordinator.autoscaler import Decision, Figures, History, Sample, Scale, ShardFigures, decide
from aidb_coordinator.autoscaler.history import Change

from tests.autoscaler.values import INTERVAL, RULES, member, shard, steady

LONG = 600.0


def of(history: History, now: float = LONG) -> Scale:
    decision = decide(history, RULES, now)
    assert isinstance(decision, Decision)
    return decision.replicas[0]


@pytest.mark.parametrize(
    ("cpu", "replicas", "wanted"),
    [
        (0.5, 2, 2),
        (0.8, 2, 2),
        (0.21, 4, 4),
        (0.85, 2, 4),
        (1.0, 4, 8),
        (0.9, 3, 6),
        (0.15, 8, 4),  # 3 would do: half goes at a time
        (0.15, 2, 1),
        (0.0, 1, 1),
        (1.0, 8, 8),
    ],
)
def test_cpu_above_80_percent_grows_below_20_shrinks_to_what_would_use_half(
    cpu: float, replicas: int, wanted: int
) -> None:
    scale = of(steady(shard(cpu, replicas=replicas), LONG))
    assert scale.wanted == wanted
    assert any("CPU of replicas" in reason for reason in scale.reasons) or not scale.changes


def test_a_jump_is_answered_at_the_first_sample() -> None:
    history = steady(shard(0.4), LONG).with_sample(
        Sample(LONG + INTERVAL, (shard(0.95),)), RULES.keep_seconds
    )
    scale = of(history, LONG + INTERVAL)
    assert scale == Scale(2, 4, 4, ("CPU of replicas 95% is above 80%: 4 for 50%",))


def test_a_fall_is_answered_after_the_window() -> None:
    history = steady(shard(0.5), LONG)
    for step in range(1, 30):
        now = LONG + step * INTERVAL
        history = history.with_sample(Sample(now, (shard(0.05),)), RULES.keep_seconds)
        scale = of(history, now)
        assert scale.wanted == (2 if step * INTERVAL <= 300 else 1), scale
        if step * INTERVAL <= 300:
            assert scale.reasons[-1] == "2 were asked for in the last 300 s"


def test_latency_asks_for_one_more_at_a_time_and_holds_what_there_is() -> None:
    assert of(steady(shard(0.5, read_ms=40.0), LONG)).wanted == 3
    assert of(steady(shard(0.1, read_ms=7.0), LONG)).wanted == 2
    assert of(steady(shard(0.1, read_ms=1.0), LONG)).wanted == 1


def test_full_caches_that_miss_ask_for_one_more() -> None:
    assert of(steady(shard(0.5, hit_ratio=0.6, cache_full=1.0), LONG)).wanted == 3
    scale = of(steady(shard(0.5, hit_ratio=0.6, cache_full=0.3), LONG))
    assert scale.wanted == 2, "more memory would not help"


@pytest.mark.parametrize(
    ("read_ms", "hit_ratio", "idle"), [(40.0, 0.95, 2), (1.0, 0.6, 1)], ids=["latency", "hit ratio"]
)
def test_nobody_is_asked_for_who_would_be_idle(read_ms: float, hit_ratio: float, idle: int) -> None:
    """With three of them CPU would be 17 %, and one would go: for ever to and fro."""

    def wanted(cpu: float) -> int:
        figures = shard(cpu, read_ms=read_ms, hit_ratio=hit_ratio, cache_full=1.0)
        return of(steady(figures, LONG)).wanted

    assert wanted(0.25) == 2
    assert wanted(0.31) == 3
    assert wanted(0.1) == idle, "where reads wait, nothing goes"


def test_without_replicas_the_primary_tells() -> None:
    rules = replace(RULES, replicas=replace(RULES.replicas, limits=replace(RULES.replicas.limits, least=0)))
    for cpu, wanted in ((0.9, 1), (0.5, 0), (None, 0)):
        decision = decide(steady(shard(replicas=0, primary=cpu), LONG), rules, LONG)
        assert decision is not None
        assert decision.replicas[0].wanted == wanted


@pytest.mark.parametrize("metric", ["cpu", "read_ms", "hit_ratio"])
@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -1.0])
def test_nothing_goes_for_a_metric_that_is_missing(metric: str, unknown: float | None) -> None:
    figures = {"cpu": 0.05, metric: unknown}
    scale = of(steady(shard(**figures), LONG))  # type: ignore[arg-type]
    assert scale.wanted == 2
    assert "nothing goes" in " ".join(scale.reasons)


def test_others_may_still_ask_for_more() -> None:
    assert of(steady(shard(0.95, hit_ratio=None), LONG)).wanted == 4


def members(*cpu: float | None) -> ShardFigures:
    return ShardFigures(0, len(cpu), tuple(member(one) for one in cpu), Figures(cpu=0.4), 1e9, 0.0)


def test_those_that_are_not_heard_count_as_idle_when_the_others_are_busy() -> None:
    scale = of(steady(members(0.9, 0.9, None, None), LONG))
    assert scale.wanted == 4
    assert "may not be with all of them" in " ".join(scale.reasons)
    assert of(steady(members(1.0, 1.0, 1.0, None), LONG)).wanted == 6, "0.75 on the average of four"


def test_those_that_are_not_heard_count_as_half_busy_when_the_others_are_idle() -> None:
    assert of(steady(members(0.05, 0.05, 0.05, None), LONG)).wanted == 2
    assert of(steady(members(0.1, None), LONG)).wanted == 2


def test_those_that_start_are_not_asked() -> None:
    busy, starting = member(0.9), member(0.0, ready=False)
    figures = ShardFigures(0, 2, (busy, starting), Figures(cpu=0.4), 1e9, 0.0)
    assert of(steady(figures, LONG)).wanted == 2, "the second will take its part"


def test_a_short_history_shrinks_nothing() -> None:
    scale = of(steady(shard(0.05), 120), 120)
    assert (scale.asked, scale.wanted) == (1, 2)
    assert scale.reasons[-1] == "what was asked for in the last 300 s is not known throughout"


def test_a_gap_in_the_window_shrinks_nothing() -> None:
    history = steady(shard(0.05), LONG)
    kept = [sample for sample in history.samples if not 400 < sample.at < 480]
    assert of(replace(history, samples=tuple(kept))).wanted == 2


def test_old_metrics_decide_nothing() -> None:
    scale = of(steady(shard(0.95), LONG), LONG + 60)
    assert scale.wanted == 2
    assert scale.reasons[-1] == "the newest metrics are 60 s old"


def test_after_a_change_the_next_one_waits() -> None:
    history = steady(shard(0.95, replicas=4), LONG)
    recent = replace(history, changes=(Change(LONG - 20, 0, 2, 4),))
    assert of(recent).wanted == 4
    assert of(replace(history, changes=(Change(LONG - 30, 0, 2, 4),))).wanted == 8
    idle = replace(steady(shard(0.05, replicas=4), LONG), changes=(Change(LONG - 299, 0, 2, 4),))
    assert of(idle).reasons[-1] == "it grew 299 s ago: nothing goes for 300 s"


@pytest.mark.parametrize(("replicas", "wanted"), [(20, 8), (0, 1)])
def test_what_is_outside_the_limits_comes_back_at_once(replicas: int, wanted: int) -> None:
    assert of(steady(shard(0.5, replicas=replicas), 0), 0).wanted == wanted


def test_another_autoscaler_is_left_alone() -> None:
    scale = of(steady(replace(shard(0.95), foreign=True), LONG))
    assert (scale.asked, scale.wanted, scale.reasons[-1]) == (4, 2, "another autoscaler owns this number")


def test_a_manual_change_is_found_in_the_samples() -> None:
    history = steady(shard(0.05), LONG).with_sample(
        Sample(LONG + INTERVAL, (shard(0.05, replicas=5),)), RULES.keep_seconds
    )
    assert history.changes == (Change(LONG + INTERVAL, 0, 2, 5),)
    assert of(history, LONG + INTERVAL).wanted == 5
