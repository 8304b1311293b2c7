"""The number of shards: load, size, write rate; and the modes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator.autoscaler import (
    Band,
    Figures,
    History,
    Limits,
    Mode,
    Rules,
    Sample,
    Scale,
    ShardFigures,
    ShardRules,
    decide,
)
from aidb_coordinator.autoscaler.history import SHARDS, Change
from aidb_coordinator.autoscaler.rules import RulesError

from tests.autoscaler.values import INTERVAL, RULES, shard, steady

LONG = 900.0
IDLE = {"primary": 0.05, "bytes": 1 << 30, "writes": 10.0}


def of(history: History, now: float = LONG, rules: Rules = RULES) -> Scale:
    decision = decide(history, rules, now)
    assert decision is not None
    return decision.shards


@pytest.mark.parametrize(
    ("figures", "shards", "wanted", "why"),
    [
        ({"primary": 0.9}, 3, 6, "CPU of primaries 90%"),
        ({"bytes": 70 << 30}, 3, 7, "bytes of a shard 70.0 GiB"),
        ({"writes": 45_000}, 2, 4, "writes of a shard 45,000/s"),
        ({"primary": 0.9}, 8, 12, "12 is the limit"),
        ({}, 3, 3, ""),
        (IDLE, 8, 4, "one step at a time"),
        (IDLE, 2, 1, ""),
        (IDLE, 1, 1, ""),
        (IDLE | {"bytes": 30 << 30}, 4, 4, "bytes of a shard 30.0 GiB is between"),
    ],
)
def test_any_metric_grows_and_all_together_shrink(
    figures: dict[str, float], shards: int, wanted: int, why: str
) -> None:
    scale = of(steady(shard(**figures), LONG, shards=shards))  # type: ignore[arg-type]
    assert scale.wanted == wanted
    assert why in " | ".join(scale.reasons)


def test_growth_has_to_last_for_two_samples() -> None:
    history = steady(shard(), LONG, shards=2)
    asked = []
    for step in (1, 2, 3):
        now = LONG + step * INTERVAL
        busy = (shard(primary=0.95), shard(primary=0.95, id=1))
        history = history.with_sample(Sample(now, busy), RULES.keep_seconds)
        asked.append(of(history, now).wanted)
    assert asked == [2, 4, 4]


def test_one_hot_shard_calls_for_another_place_not_for_more_shards() -> None:
    history = History()
    for step in range(61):
        hot, cold = shard(primary=1.0, writes=0.0), [shard(id=number, **IDLE) for number in range(1, 9)]  # type: ignore[arg-type]
        history = history.with_sample(Sample(step * INTERVAL, (hot, *cold)), RULES.keep_seconds)
    scale = of(history)
    assert scale.wanted == 9, "the mean is low, but nothing goes while one has too much"
    assert "CPU of primaries 100% on one, but not on all: rebalance by load" in scale.reasons


def test_nothing_changes_while_moves_are_under_way() -> None:
    history = steady(shard(primary=0.95), LONG)
    newest = replace(history.samples[-1], busy="moves are under way")
    scale = of(replace(history, samples=(*history.samples[:-1], newest)))
    assert (scale.asked, scale.wanted, scale.reasons[-1]) == (2, 1, "moves are under way")


def test_a_shard_that_is_not_heard_keeps_all() -> None:
    history = History()
    for step in range(61):
        silent = ShardFigures(1, 1, (), None, None, None)
        shards = (shard(**IDLE), silent)  # type: ignore[arg-type]
        history = history.with_sample(Sample(step * INTERVAL, shards), RULES.keep_seconds)
    assert of(history).wanted == 2


def test_after_growth_nothing_goes_for_the_window() -> None:
    history = replace(
        steady(shard(**IDLE), LONG, shards=4),  # type: ignore[arg-type]
        changes=(Change(LONG - 599, SHARDS, 3, 4),),
    )
    assert of(history).wanted == 4
    assert of(replace(history, changes=(Change(LONG - 600, SHARDS, 3, 4),))).wanted == 2


def test_modes() -> None:
    history = steady(shard(0.95), LONG)
    assert decide(history, replace(RULES, mode=Mode.OFF), LONG) is None
    assert decide(History(), RULES, LONG) is None
    recommended = decide(history, replace(RULES, mode=Mode.RECOMMEND), LONG)
    applied = decide(history, RULES, LONG)
    assert recommended is not None
    assert applied is not None
    assert (recommended.apply, applied.apply) == (False, True)
    assert recommended.replicas == applied.replicas


def test_metrics_can_be_left_out() -> None:
    only_writes = replace(RULES, shards=replace(RULES.shards, cpu=None, bytes=None))
    assert of(steady(shard(primary=0.95), LONG), rules=only_writes).wanted == 1
    none = replace(only_writes, shards=replace(only_writes.shards, writes=None))
    assert of(steady(shard(**IDLE), LONG, shards=3), rules=none).wanted == 3  # type: ignore[arg-type]


def test_history_is_bounded() -> None:
    history = steady(shard(), 3_600)
    assert history.samples[-1].at - history.samples[0].at <= RULES.keep_seconds
    assert len(history.samples) <= RULES.keep_seconds / INTERVAL + 2


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Band(0.5, 0.4, 0.8),
        lambda: Band(0.1, 0.5, float("inf")),
        lambda: Limits(3, 2),
        lambda: Limits(-1, 2),
        lambda: Limits(1, 2, window=-1),
        lambda: Limits(1, 2, up_step=0),
        lambda: Rules(interval=0),
        lambda: Rules(tolerance=1),
        lambda: Rules(shards=ShardRules(limits=Limits(0, 3))),
    ],
)
def test_rules_that_contradict_themselves_are_refused(bad: object) -> None:
    with pytest.raises(RulesError):
        bad()  # type: ignore[operator]


def test_figures_of_a_primary_that_starts_are_not_asked() -> None:
    starting = replace(shard(), primary=Figures(ready=False, cpu=1.0))
    assert of(steady(starting, LONG)).wanted == 1
