"""The decision: what the newest sample asks for, held against the history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aidb_coordinator.autoscaler import recommendations
from aidb_coordinator.autoscaler.history import SHARDS, History, Sample, ShardFigures
from aidb_coordinator.autoscaler.recommendations import Recommendation
from aidb_coordinator.autoscaler.rules import Limits, Mode, Rules
from aidb_coordinator.autoscaler.steadiness import Asked, steady


@dataclass(frozen=True, slots=True)
class Scale:
    """One number: as it was in the newest sample, as its metrics ask for, as it should become now, and why.

    It is applied where it `changes` something and the number still is `current`, else not at all: a decision
    by a sample from before the last change would undo that.
    """

    current: int
    asked: int
    wanted: int
    reasons: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return self.wanted != self.current


@dataclass(frozen=True, slots=True)
class Decision:
    """`replicas` by shard id. `apply`: to be carried out, not only shown."""

    at: float
    apply: bool
    shards: Scale
    replicas: dict[int, Scale]


def decide(history: History, rules: Rules, now: float) -> Decision | None:
    """None when nothing was measured yet, or the mode is off."""
    if not history.samples or rules.mode is Mode.OFF:
        return None
    newest = history.samples[-1]
    stale = ""
    if now - newest.at > rules.stale_seconds:
        stale = f"the newest metrics are {now - newest.at:.0f} s old"
    return Decision(
        at=now,
        apply=rules.mode is Mode.ON,
        shards=_shards(history, rules, now, stale or newest.busy),
        replicas={shard.id: _replicas(shard, history, rules, now, stale) for shard in newest.shards},
    )


def _shards(history: History, rules: Rules, now: float, held: str) -> Scale:
    limits = rules.shards.limits
    current = len(history.samples[-1].shards)

    def ask(sample: Sample) -> Recommendation:
        return recommendations.shards(sample, rules.shards, rules.tolerance)

    return _scale(current, SHARDS, ask, history, limits, now, rules.stale_seconds, held)


def _replicas(shard: ShardFigures, history: History, rules: Rules, now: float, held: str) -> Scale:
    def ask(sample: Sample) -> Recommendation | None:
        found = sample.by_id.get(shard.id)
        return None if found is None else recommendations.replicas(found, rules.replicas, rules.tolerance)

    if shard.foreign:
        held = "another autoscaler owns this number"
    limits = rules.replicas.limits
    return _scale(shard.wanted, shard.id, ask, history, limits, now, rules.stale_seconds, held)


def _scale(
    current: int,
    subject: int,
    ask: Callable[[Sample], Recommendation | None],
    history: History,
    limits: Limits,
    now: float,
    gap: float,
    held: str,
) -> Scale:
    """`held`: why nothing may change now; empty = it may."""
    asked, reasons = ask(history.samples[-1]) or (current, ())
    if held:
        return Scale(current, asked, current, (*reasons, held))
    if limits.clip(asked) == current:
        limit = (f"{current} is the limit",) if asked != current else ()
        return Scale(current, asked, current, (*reasons, *limit))
    # The past is looked at as far as the direction needs it: most of the time, not at all.
    window = limits.window if asked < current else limits.up_window if asked > current else 0.0
    since = history.samples[-1].at - window - 2 * gap
    past = [Asked(one.at, *_counted(ask(one))) for one in history.samples[:-1] if window and one.at >= since]
    past.append(Asked(history.samples[-1].at, asked))
    changes = [change for change in history.changes if change.subject == subject]
    wanted, why = steady(current, past, changes, limits, now, gap)
    return Scale(current, asked, wanted, (*reasons, why) if why else reasons)


def _counted(found: Recommendation | None) -> tuple[int, bool]:
    return (found[0], True) if found else (0, False)
