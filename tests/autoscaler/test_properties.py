"""What holds whatever was measured: a plant under random load whose metrics come and go."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from aidb_coordinator.autoscaler import Figures, History, Limits, Sample, ShardFigures, decide
from aidb_coordinator.autoscaler.steadiness import Asked, steady
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autoscaler.values import INTERVAL, RULES

Run = list[tuple[float, int]]

figure = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0, float("nan")]))


def play(seed: int, steps: int, lost: float) -> tuple[Run, dict[int, Run]]:
    """The numbers of shards and of each shard's replicas over time, as the decisions made them."""
    chance = random.Random(seed)
    replicas, history = {0: 1, 1: 1}, History()
    shards_run: Run = []
    replica_runs: dict[int, Run] = {}
    level = 0.5
    for step in range(steps):
        now = step * INTERVAL
        if chance.random() < 0.15:
            level = chance.choice([0.02, 0.1, 0.5, 0.9, 1.0])
        if chance.random() >= lost:
            sample = Sample(
                now, tuple(_shard(chance, id, count, level, lost) for id, count in replicas.items())
            )
            history = history.with_sample(sample, RULES.keep_seconds)
        decision = decide(history, RULES, now)
        if decision is not None:
            for id, scale in decision.replicas.items():
                if scale.changes and replicas.get(id) == scale.current:
                    replicas[id] = scale.wanted
            if decision.shards.changes and len(replicas) == decision.shards.current:
                replicas = {id: replicas.get(id, 1) for id in range(decision.shards.wanted)}
        shards_run.append((now, len(replicas)))
        for id, count in replicas.items():
            replica_runs.setdefault(id, []).append((now, count))
    return shards_run, replica_runs


def _shard(chance: random.Random, id: int, count: int, level: float, lost: float) -> ShardFigures:
    def known(value: float) -> float | None:
        return None if chance.random() < lost / 4 else value

    def near(value: float) -> float:
        return min(1.0, max(0.0, value * chance.uniform(0.8, 1.2)))

    members = tuple(
        Figures(chance.random() > 0.05, known(near(level)), known(near(level) * 12), known(0.9), known(0.5))
        for _ in range(count)
    )
    primary = Figures(True, known(near(level)))
    return ShardFigures(id, count, members, primary, known(near(level) * (40 << 30)), known(level * 30_000))


def directions(run: Run) -> list[tuple[float, int]]:
    """When it changed, and which way."""
    return [
        (later, 1 if more > count else -1) for (_, count), (later, more) in pairwise(run) if more != count
    ]


def within_limits(run: Iterable[tuple[float, int]], limits: Limits) -> bool:
    return all(limits.least <= count <= limits.most for _, count in run)


def reversals_within(changes: Sequence[tuple[float, int]], window: float) -> int:
    """The most turns between changes that all lie within one window."""
    most = 0
    for first in range(len(changes)):
        inside = [way for at, way in changes[first:] if at < changes[first][0] + window]
        most = max(most, sum(way != after for way, after in pairwise(inside)))
    return most


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), lost=st.sampled_from([0.0, 0.05, 0.3]))
def test_limits_hold_and_the_direction_changes_at_most_once_in_a_window(seed: int, lost: float) -> None:
    shards, replicas = play(seed, 150, lost)
    assert within_limits(shards, RULES.shards.limits)
    assert reversals_within(directions(shards), RULES.shards.limits.window) <= 1
    for run in replicas.values():
        whole = unbroken(run, INTERVAL)
        assert within_limits(whole, RULES.replicas.limits)
        assert reversals_within(directions(whole), RULES.replicas.limits.window) <= 1


def unbroken(run: Run, interval: float) -> Run:
    """Without what was before the shard was removed and came again."""
    breaks = [place for place, (one, other) in enumerate(pairwise(run), 1) if other[0] - one[0] > interval]
    return run[breaks[-1] :] if breaks else run


@pytest.mark.parametrize("lost", [0.0, 0.05])
def test_the_property_test_sees_changes_of_both_kinds(lost: float) -> None:
    """A run in which nothing ever changed would hold to anything."""
    runs = [play(seed, 150, lost) for seed in range(3)]
    ways = {
        way for shards, replicas in runs for run in (shards, *replicas.values()) for _, way in directions(run)
    }
    assert ways == {1, -1}


@settings(max_examples=60, deadline=None)
@given(
    figures=st.lists(st.tuples(figure, figure, figure, figure), min_size=1, max_size=6),
    hide=st.integers(0, 3),
)
def test_a_metric_that_is_lost_for_all_never_shrinks_anything(
    figures: list[tuple[float | None, ...]], hide: int
) -> None:
    members = []
    for values in figures:
        shown = [None if number == hide else value for number, value in enumerate(values)]
        cpu, read, hit, full = shown
        members.append(Figures(True, cpu, None if read is None else read * 20, hit, full))
    shard = ShardFigures(0, len(members), tuple(members), Figures(cpu=0.5), 1e9, 0.0)
    history = History()
    for step in range(50):
        history = history.with_sample(Sample(step * INTERVAL, (shard,)), RULES.keep_seconds)
    decision = decide(history, RULES, 49 * INTERVAL)
    assert decision is not None
    assert decision.replicas[0].wanted >= len(members)


@settings(max_examples=400, deadline=None)
@given(cpu=st.lists(st.floats(0, 1), min_size=1, max_size=8), lost=st.sets(st.integers(0, 7)))
def test_losing_a_metric_that_is_below_the_target_never_asks_for_less(
    cpu: list[float], lost: set[int]
) -> None:
    def asked(values: list[float | None]) -> int:
        members = tuple(Figures(True, one, 0.5, 0.95, 0.5) for one in values)
        shard = ShardFigures(0, len(values), members, None, None, None)
        decision = decide(History((Sample(0, (shard,)),)), RULES, 0)
        assert decision is not None
        return decision.replicas[0].asked

    hidden = [None if place in lost and value <= 0.5 else value for place, value in enumerate(cpu)]
    assert asked(list(hidden)) >= min(asked(list(cpu)), len(cpu))


@settings(max_examples=200, deadline=None)
@given(
    current=st.integers(0, 30),
    asked=st.lists(st.integers(0, 60), min_size=1, max_size=60),
    least=st.integers(0, 5),
    room=st.integers(0, 20),
)
def test_a_step_is_bounded_and_within_limits(current: int, asked: list[int], least: int, room: int) -> None:
    limits = Limits(least=least, most=least + room)
    samples = [Asked(place * INTERVAL, count) for place, count in enumerate(asked)]
    wanted, why = steady(current, samples, (), limits, samples[-1].at, 2.5 * INTERVAL)
    assert limits.least <= wanted <= limits.most
    if limits.least <= current <= limits.most:
        assert wanted <= max(2 * current, current + 4)
        assert wanted >= current - max(1, current // 2)
        assert (wanted - current) * (asked[-1] - current) >= 0, "never against the newest metrics"
        assert wanted == asked[-1] or why


def test_the_same_input_gives_the_same_decision() -> None:
    chance = random.Random(7)
    samples = tuple(Sample(step * INTERVAL, (_shard(chance, 0, 3, 0.9, 0.1),)) for step in range(60))
    history = History(samples)
    assert decide(history, RULES, 59 * INTERVAL) == decide(replace(history), RULES, 59 * INTERVAL)
