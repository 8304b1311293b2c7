"""From a decision to the one operation that is begun now. Pure.

One at a time: what the next sample shows decides about the next. What grows goes before what shrinks, and
shards, whose moves take longest, before replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from aidb_coordinator.autoscaler.decision import Decision, Scale
from aidb_coordinator.autoscaler.history import Sample


class StepKind(StrEnum):
    ADD_SHARD = "add_shard"
    REMOVE_SHARD = "remove_shard"
    ADD_REPLICA = "add_replica"
    REMOVE_REPLICA = "remove_replica"


@dataclass(frozen=True, slots=True)
class Step:
    """`shards`: those that go, or the one whose replicas come or go. `count`: how many come or go."""

    kind: StepKind
    count: int
    shards: tuple[int, ...]
    reasons: tuple[str, ...]

    def describe(self) -> str:
        """For people: `add 2 replicas of shard 0`."""
        verb, noun = self.kind.split("_")
        many = f"{self.count} {noun}s" if self.count > 1 else f"a {noun}"
        if noun == "replica":
            many += f" of shard {self.shards[0]}"
        elif self.shards:
            many = f"{noun} " + ", ".join(map(str, self.shards))
        return f"{verb} {many}"


def next_step(decision: Decision, newest: Sample) -> Step | None:
    """None: nothing is to change."""
    by_urgency = [
        *_shards(decision.shards, newest, grow=True),
        *_replicas(decision, grow=True),
        *_replicas(decision, grow=False),
        *_shards(decision.shards, newest, grow=False),
    ]
    return by_urgency[0] if by_urgency else None


def _shards(scale: Scale, newest: Sample, *, grow: bool) -> Iterator[Step]:
    count = scale.wanted - scale.current
    if grow and count > 0:
        yield Step(StepKind.ADD_SHARD, count, (), scale.reasons)
    elif not grow and count < 0:
        yield Step(StepKind.REMOVE_SHARD, -count, _lightest(newest, -count), scale.reasons)


def _lightest(newest: Sample, count: int) -> tuple[int, ...]:
    """Those with the fewest bytes to move; of equals, and where bytes are not known, the newest."""
    known = [shard for shard in newest.shards if shard.bytes is not None]
    unknown = [shard for shard in newest.shards if shard.bytes is None]
    order = sorted(known, key=lambda shard: (shard.bytes, -shard.id))
    order += sorted(unknown, key=lambda shard: -shard.id)
    return tuple(sorted(shard.id for shard in order[:count]))


def _replicas(decision: Decision, *, grow: bool) -> Iterator[Step]:
    """Of one shard after the other: the largest change first."""
    changes = sorted(
        decision.replicas.items(), key=lambda one: (-abs(one[1].wanted - one[1].current), one[0])
    )
    for shard, scale in changes:
        count = scale.wanted - scale.current
        if grow and count > 0:
            yield Step(StepKind.ADD_REPLICA, count, (shard,), scale.reasons)
        elif not grow and count < 0:
            yield Step(StepKind.REMOVE_REPLICA, -count, (shard,), scale.reasons)
