"""The committed traces: what the pictures in docs/architecture/autoscaler.md show, as assertions."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.autoscaler.picture import draw
from benchmarks.autoscaler.simulate import Moment, simulate
from benchmarks.autoscaler.traces import Trace, committed
from tests.autoscaler.test_properties import Run, directions, reversals_within, unbroken, within_limits

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "architecture" / "autoscaler"
TRACES = committed()


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Moment]]:
    return {trace.name: simulate(trace) for trace in TRACES}


def of_replicas(moments: list[Moment]) -> dict[int, Run]:
    """Of each shard, as decided; shards that come again begin anew."""
    found: dict[int, Run] = {}
    for moment in moments:
        assert moment.decision is not None
        for shard, scale in moment.decision.replicas.items():
            found.setdefault(shard, []).append((moment.at, scale.wanted))
    interval = moments[1].at - moments[0].at
    return {shard: unbroken(run, interval) for shard, run in found.items()}


def of_shards(moments: list[Moment]) -> Run:
    return [(moment.at, moment.decision.shards.wanted) for moment in moments if moment.decision]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_limits_and_reversals(trace: Trace, runs: dict[str, list[Moment]]) -> None:
    moments = runs[trace.name]
    shards, replicas = of_shards(moments), of_replicas(moments)
    assert within_limits(shards, trace.rules.shards.limits)
    assert reversals_within(directions(shards), trace.rules.shards.limits.window) <= 1
    for run in replicas.values():
        assert within_limits(run, trace.rules.replicas.limits)
        assert reversals_within(directions(run), trace.rules.replicas.limits.window) <= 1


def test_a_spike_is_answered_within_two_intervals(runs: dict[str, list[Moment]]) -> None:
    trace = next(trace for trace in TRACES if trace.name == "spike")
    run = of_replicas(runs["spike"])[0]
    for begin in trace.spikes:
        ups = [at for at, way in directions(run) if way > 0 and at >= begin]
        assert ups[0] - begin <= 2 * trace.rules.interval
    assert trace.spikes


def test_load_that_stays_is_served_and_what_is_idle_goes(runs: dict[str, list[Moment]]) -> None:
    for name, moments in runs.items():
        seen = [moment for moment in moments if not moment.lost]
        short = sum(moment.load.reads > moment.capacity[0] for moment in seen)
        assert short <= 0.05 * len(seen), name
    for name in ("diurnal", "growth", "spike"):
        counts = [moment.replicas for moment in runs[name]]
        assert counts[-1] < max(counts), name
    assert sum(way < 0 for run in of_replicas(runs["growth"]).values() for _, way in directions(run)) < 20
    shards = [moment.shards for moment in runs["growth"]]
    assert max(shards) >= 6
    assert shards[-1] <= max(shards)


def test_flapping_that_is_faster_than_the_window_shrinks_nothing(runs: dict[str, list[Moment]]) -> None:
    run = [point for point in of_replicas(runs["flapping"])[0] if point[0] < 3_600]
    assert all(way > 0 for _, way in directions(run))


def test_nothing_changes_while_metrics_are_missing(runs: dict[str, list[Moment]]) -> None:
    trace = next(trace for trace in TRACES if trace.name == "lost-metrics")
    stale = trace.rules.stale_seconds
    for begin, end in trace.lost:
        inside = [moment for moment in runs["lost-metrics"] if begin + stale < moment.at < end]
        for moment in inside:
            assert moment.decision is not None
            assert not moment.decision.shards.changes
            assert not any(scale.changes for scale in moment.decision.replicas.values())


def test_the_pictures_in_the_documentation_are_of_this_version(runs: dict[str, list[Moment]]) -> None:
    for trace in TRACES:
        picture = draw(trace, runs[trace.name])
        ElementTree.fromstring(picture)  # noqa: S314 (our own)
        assert (PICTURES / f"{trace.name}.svg").read_text() == picture, "run make autoscaler-pictures"
