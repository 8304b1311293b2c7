"""spec.autoscaling: the rules of the autoscaler (aidb_coordinator.autoscaler), in whole numbers.

A group that is not enabled decides nothing: people, or a HorizontalPodAutoscaler, do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from aidb_coordinator.autoscaler.rules import Band, Limits, Mode, ReplicaRules, Rules, ShardRules
from pydantic import Field

from aidb_operator.api import quantity
from aidb_operator.api.model import Model, Rule, group
from aidb_operator.api.quantity import SizeText

_ORDER = Rule("self.low < self.target && self.target <= self.high", "low < target <= high", ".target")
_MIN_MAX = Rule("self.min <= self.max", "min may not be above max", ".min")
Seconds = Annotated[int, Field(ge=0, lt=86_400)]


class PercentBand(Model):
    """Between low and high nothing changes; outside, the number becomes such that it would be `target`."""

    rules = (_ORDER,)

    enabled: bool = Field(default=True, description="Whether it is looked at.")
    low: int = Field(default=20, ge=0, le=100, description="Below it there may be fewer, percent.")
    target: int = Field(default=50, ge=1, le=100, description="What it should be, percent.")
    high: int = Field(default=80, ge=1, le=100, description="Above it there are more, percent.")

    def band(self) -> Band | None:
        return Band(self.low / 100, self.target / 100, self.high / 100) if self.enabled else None


class LatencyBand(Model):
    """Mean latency of reads, milliseconds."""

    rules = (_ORDER,)

    enabled: bool = Field(default=True, description="Whether it is looked at.")
    low: int = Field(default=4, ge=0, description="Below it there may be fewer, milliseconds.")
    target: int = Field(default=5, ge=1, description="What it should be, milliseconds.")
    high: int = Field(default=10, ge=1, description="Above it there are more, milliseconds.")

    def band(self) -> Band | None:
        return Band(self.low, self.target, self.high) if self.enabled else None


class RateBand(Model):
    """Writes of a shard, a second."""

    rules = (_ORDER,)

    enabled: bool = Field(default=True, description="Whether it is looked at.")
    low: int = Field(default=5_000, ge=0, description="Below it there may be fewer.")
    target: int = Field(default=25_000, ge=1, description="What it should be.")
    high: int = Field(default=40_000, ge=1, description="Above it there are more.")

    def band(self) -> Band | None:
        return Band(self.low, self.target, self.high) if self.enabled else None


class SizeBand(Model):
    """Bytes of a shard: what can be restored in the time that is promised."""

    rules = (
        Rule(
            "quantity(self.low).isLessThan(quantity(self.target))"
            " && quantity(self.target).compareTo(quantity(self.high)) <= 0",
            "low < target <= high",
            ".target",
        ),
    )

    enabled: bool = Field(default=True, description="Whether it is looked at.")
    low: SizeText = Field(default="4Gi", description="Below it there may be fewer.")
    target: SizeText = Field(default="32Gi", description="What it should be.")
    high: SizeText = Field(default="64Gi", description="Above it there are more.")

    def band(self) -> Band | None:
        low, target, high = (quantity.whole(text) for text in (self.low, self.target, self.high))
        return Band(low, target, high) if self.enabled else None


class ReplicaScaling(Model):
    """The replicas of each shard."""

    rules = (_MIN_MAX,)

    enabled: bool = Field(
        default=False, description="The operator's autoscaler decides; spec.replicas does not."
    )
    min: int = Field(default=1, ge=0, le=100, description="At least so many.")
    max: int = Field(default=10, ge=1, le=100, description="At most so many.")
    cpu: PercentBand = group(PercentBand, "CPU of replicas; without any, of the primary.")
    read_milliseconds: LatencyBand = group(LatencyBand, "Mean latency of reads.")
    hit_percent: int = Field(
        default=80, ge=0, le=100, description="Below it, with full caches, one more; 0: not looked at."
    )
    window_seconds: Seconds = Field(
        default=300, description="Nothing in this time may have called for more, to shrink."
    )
    up_window_seconds: Seconds = Field(
        default=0, description="Everything in this time has to call for more, to grow."
    )
    up_cooldown_seconds: Seconds = Field(default=30, description="After a change the next one up waits.")
    down_cooldown_seconds: Seconds = Field(default=60, description="After a change the next one down waits.")

    def limits(self) -> Limits:
        return _limits(self)


class ShardScaling(Model):
    """The number of shards. Each change moves data, so it is slow."""

    rules = (_MIN_MAX,)

    enabled: bool = Field(
        default=False, description="The operator's autoscaler decides; spec.shards does not."
    )
    min: int = Field(default=1, ge=1, le=1000, description="At least so many.")
    max: int = Field(default=100, ge=1, le=1000, description="At most so many.")
    cpu: PercentBand = group(PercentBand, "CPU of primaries.")
    bytes: SizeBand = group(SizeBand, "Size of a shard.")
    writes: RateBand = group(RateBand, "Writes of a shard, a second.")
    window_seconds: Seconds = Field(
        default=1800, description="Nothing in this time may have called for more, to shrink."
    )
    up_window_seconds: Seconds = Field(
        default=30, description="Everything in this time has to call for more, to grow."
    )
    up_cooldown_seconds: Seconds = Field(default=300, description="After a change the next one up waits.")
    down_cooldown_seconds: Seconds = Field(default=900, description="After a change the next one down waits.")

    def limits(self) -> Limits:
        return replace(_limits(self), up_step=2, down_factor=0.25)


def _limits(scaling: ReplicaScaling | ShardScaling) -> Limits:
    return Limits(
        least=scaling.min,
        most=scaling.max,
        window=scaling.window_seconds,
        up_window=scaling.up_window_seconds,
        up_cooldown=scaling.up_cooldown_seconds,
        down_cooldown=scaling.down_cooldown_seconds,
    )


class Autoscaling(Model):
    interval_seconds: int = Field(
        default=15, ge=5, le=3600, description="Between two samples of the members' figures."
    )
    tolerance_percent: int = Field(
        default=10, ge=0, le=99, description="A number that would change by less stays."
    )
    replicas: ReplicaScaling = group(ReplicaScaling, "The replicas of each shard.")
    shards: ShardScaling = group(ShardScaling, "The number of shards.")

    @property
    def enabled(self) -> bool:
        return self.replicas.enabled or self.shards.enabled

    def rules_of_autoscaler(self) -> Rules:
        """Raises RulesError, which the schema's rules prevent."""
        replicas, shards = self.replicas, self.shards
        hits = replicas.hit_percent
        return Rules(
            mode=Mode.ON if self.enabled else Mode.RECOMMEND,
            interval=self.interval_seconds,
            tolerance=self.tolerance_percent / 100,
            replicas=ReplicaRules(
                limits=replicas.limits(),
                cpu=replicas.cpu.band(),
                read_ms=replicas.read_milliseconds.band(),
                hit_ratio=hits / 100 if hits else None,
            ),
            shards=ShardRules(
                limits=shards.limits(),
                cpu=shards.cpu.band(),
                bytes=shards.bytes.band(),
                writes=shards.writes.band(),
            ),
        )
