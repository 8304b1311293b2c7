"""What was measured, and what was changed: the input of the decision.

Times are seconds of one clock that never goes back. A figure that is not known is None; never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

# The subject of a change of the number of shards; those of replicas are ids of shards.
SHARDS = -1


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one member, since the sample before.

    ready: it serves, and is warm. cpu: part of the cores that it may use, 0 to 1. read_ms: mean latency of
    reads at the server (0 when there were none). hit_ratio, cache_full: of a replica's cache, 0 to 1 (a ratio
    of 1 when there were no reads).
    """

    ready: bool = True
    cpu: float | None = None
    read_ms: float | None = None
    hit_ratio: float | None = None
    cache_full: float | None = None


@dataclass(frozen=True, slots=True)
class ShardFigures:
    """One shard. wanted: replicas that there should be, started or not; `replicas` are those that were heard
    of. bytes: of its data. writes: a second. foreign: another autoscaler owns the number of its replicas.
    """

    id: int
    wanted: int
    replicas: tuple[Figures, ...] = ()
    primary: Figures | None = None
    bytes: float | None = None
    writes: float | None = None
    foreign: bool = False


@dataclass(frozen=True)
class Sample:
    """The cluster at a time. busy: why its shape cannot change now (moves are under way); empty = it can."""

    at: float
    shards: tuple[ShardFigures, ...]
    busy: str = ""

    @cached_property
    def by_id(self) -> dict[int, ShardFigures]:
        return {shard.id: shard for shard in self.shards}


@dataclass(frozen=True, slots=True)
class Change:
    """The wanted number of `subject` became `after` at this time, whoever asked for it."""

    at: float
    subject: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class History:
    """Both ascending by time. It should reach back as far as `Rules.keep_seconds`; where it does not, nothing
    shrinks.
    """

    samples: tuple[Sample, ...] = ()
    changes: tuple[Change, ...] = ()

    def with_sample(self, sample: Sample, keep_seconds: float) -> History:
        """The history with one more, without what is older than `keep_seconds` before it.

        Changes of what is wanted are found here, so that those of administrators count like any other.
        """
        changes = (*self.changes, *(_changes(self.samples[-1], sample) if self.samples else ()))
        since = sample.at - keep_seconds
        return History(
            (*(kept for kept in self.samples if kept.at >= since), sample),
            tuple(kept for kept in changes if kept.at >= since),
        )


def _changes(before: Sample, after: Sample) -> tuple[Change, ...]:
    found = []
    if len(before.shards) != len(after.shards):
        found.append(Change(after.at, SHARDS, len(before.shards), len(after.shards)))
    for shard in after.shards:
        known = before.by_id.get(shard.id, shard).wanted
        if known != shard.wanted:
            found.append(Change(after.at, shard.id, known, shard.wanted))
    return tuple(found)
