"""How many shards and replicas there should be: one pure function of what was measured.

    decide(history, rules, now) -> Decision, with reasons

The coordinator calls it in local mode, the operator in Kubernetes. The semantics are those of the horizontal
pod autoscaler (ratio, tolerance, stabilisation, missing metrics, limits of a step):

    samples -> proposals (one a metric) -> a recommendation a sample -> over time -> Scale

What holds whatever was measured: the result is never outside the limits; nothing shrinks for a metric that is
missing; within a stabilisation window the direction changes at most once, from down to up.
"""

from __future__ import annotations

from aidb_coordinator.autoscaler.decision import Decision, Scale, decide
from aidb_coordinator.autoscaler.history import Change, Figures, History, Sample, ShardFigures
from aidb_coordinator.autoscaler.rules import Band, Limits, Mode, ReplicaRules, Rules, RulesError, ShardRules

__all__ = [
    "Band",
    "Change",
    "Decision",
    "Figures",
    "History",
    "Limits",
    "Mode",
    "ReplicaRules",
    "Rules",
    "RulesError",
    "Sample",
    "Scale",
    "ShardFigures",
    "ShardRules",
    "decide",
]
