"""Runs a trace: load, figures, decision, and what the decision begins, interval by interval."""

from __future__ import annotations

from dataclasses import dataclass

from aidb_coordinator.autoscaler import Decision, History, decide

from benchmarks.autoscaler.plant import Plant
from benchmarks.autoscaler.traces import Load, Trace


@dataclass(frozen=True, slots=True)
class Moment:
    """Of one interval. `capacity`: reads and writes a second. `replicas`: wanted, of all shards."""

    at: float
    load: Load
    capacity: tuple[float, float]
    shards: int
    replicas: int
    decision: Decision | None
    lost: bool


def simulate(trace: Trace, shards: int = 1, replicas: int = 1) -> list[Moment]:
    plant = Plant.of(shards, replicas, trace.rules)
    history = History()
    moments = []
    for step in range(int(trace.seconds / trace.rules.interval)):
        now = step * trace.rules.interval
        load, lost = trace.load(now), trace.is_lost(now)
        sample = plant.sample(now, load)
        if not lost:
            history = history.with_sample(sample, trace.rules.keep_seconds)
        decision = decide(history, trace.rules, now)
        if decision is not None:
            plant.follow(decision, now, load)
        counts = (len(sample.shards), sum(shard.wanted for shard in sample.shards))
        moments.append(Moment(now, load, plant.capacity(now), *counts, decision, lost))
    return moments
