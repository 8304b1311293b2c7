"""The configuration. Every figure can be set; the defaults are those of the design."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum


class RulesError(ValueError):
    """Rules that contradict themselves."""


class Mode(Enum):
    """off: no decisions. recommend: decisions that are shown, and not applied. on: applied."""

    OFF = "off"
    RECOMMEND = "recommend"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Band:
    """Between `low` and `high` a figure changes nothing; outside it, the number of servers becomes such that
    the figure would be `target`. Raises RulesError unless 0 <= low < target <= high.
    """

    low: float
    target: float
    high: float

    def __post_init__(self) -> None:
        if not (0 <= self.low < self.target <= self.high and math.isfinite(self.high)):
            raise RulesError(f"{self} is no band: 0 <= low < target <= high")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one number. Seconds.

    window: to shrink, nothing in this time may have called for more (stabilisation).
    up_window: to grow, everything in this time has to call for it.
    up_cooldown, down_cooldown: so long after a change the next one up, or down, waits.
    up_factor, up_step: a step up multiplies by at most this, or adds at most that: whichever is more.
    down_factor: a step down takes at most this part, and at least one may go.
    Raises RulesError.
    """

    least: int
    most: int
    window: float = 300.0
    up_window: float = 0.0
    up_cooldown: float = 30.0
    down_cooldown: float = 60.0
    up_factor: float = 2.0
    up_step: int = 4
    down_factor: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most:
            raise RulesError(f"least {self.least} and most {self.most}: 0 <= least <= most")
        times = (self.window, self.up_window, self.up_cooldown, self.down_cooldown)
        if not all(0 <= time < 86_400 for time in times):
            raise RulesError("windows and cooldowns are 0 to 86400 seconds")
        if self.up_factor < 1 or self.up_step < 1 or not 0 < self.down_factor <= 1:
            raise RulesError("steps: up_factor and up_step at least 1, down_factor above 0, at most 1")

    def clip(self, count: int) -> int:
        return min(max(count, self.least), self.most)


@dataclass(frozen=True, slots=True)
class ReplicaRules:
    """Of the replicas of each shard. A metric that is None is not looked at.

    cpu: of replicas; without any, of the primary. read_ms: mean latency of reads. hit_ratio: below it, and
    with the caches full, one more is asked for. Neither asks for one that `cpu` would call idle.
    """

    limits: Limits = field(default_factory=lambda: Limits(least=1, most=10))
    cpu: Band | None = Band(0.2, 0.5, 0.8)
    read_ms: Band | None = Band(4.0, 5.0, 10.0)
    hit_ratio: float | None = 0.8


@dataclass(frozen=True, slots=True)
class ShardRules:
    """Of the number of shards. A metric that is None is not looked at.

    cpu: of primaries. bytes: of a shard; `high` is what can be restored in the time that is promised.
    writes: of a shard, a second. Shards change slowly: each change moves data.
    """

    limits: Limits = field(
        default_factory=lambda: Limits(
            least=1,
            most=100,
            window=1_800,
            up_window=30,
            up_cooldown=300,
            down_cooldown=900,
            up_step=2,
            down_factor=0.25,
        )
    )
    cpu: Band | None = Band(0.2, 0.5, 0.8)
    bytes: Band | None = Band(4 << 30, 32 << 30, 64 << 30)
    writes: Band | None = Band(5_000, 25_000, 40_000)


@dataclass(frozen=True, slots=True)
class Rules:
    """interval: seconds between samples. tolerance: a number that would change by no more than this part
    stays. Raises RulesError.
    """

    mode: Mode = Mode.RECOMMEND
    interval: float = 15.0
    tolerance: float = 0.1
    replicas: ReplicaRules = field(default_factory=ReplicaRules)
    shards: ShardRules = field(default_factory=ShardRules)

    def __post_init__(self) -> None:
        if not 0 < self.interval <= 3_600:
            raise RulesError(f"an interval of {self.interval:g} s: above 0, at most 3600")
        if not 0 <= self.tolerance < 1:
            raise RulesError(f"a tolerance of {self.tolerance:g}: 0 to 1")
        if self.shards.limits.least < 1:
            raise RulesError("a cluster has at least one shard")

    @property
    def stale_seconds(self) -> float:
        """A sample that is older is none, and longer between two samples is a gap."""
        return 2.5 * self.interval

    @property
    def keep_seconds(self) -> float:
        """How far back a history has to reach."""
        limits = (self.replicas.limits, self.shards.limits)
        longest = max(max(one.window, one.up_window, one.up_cooldown, one.down_cooldown) for one in limits)
        return longest + 2 * self.stale_seconds
