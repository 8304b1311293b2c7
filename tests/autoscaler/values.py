"""Short ways to samples and histories."""

from __future__ import annotations

from aidb_coordinator.autoscaler import (
    Figures,
    History,
    Limits,
    Mode,
    ReplicaRules,
    Rules,
    Sample,
    ShardFigures,
    ShardRules,
)

INTERVAL = 15.0
RULES = Rules(
    mode=Mode.ON,
    interval=INTERVAL,
    replicas=ReplicaRules(limits=Limits(least=1, most=8)),
    shards=ShardRules(limits=Limits(least=1, most=12, window=600, up_window=30, up_cooldown=120)),
)


def member(cpu: float | None = 0.5, **figures: float | bool | None) -> Figures:
    values = {"read_ms": 1.0, "hit_ratio": 0.95, "cache_full": 0.5} | figures
    return Figures(cpu=cpu, **values)  # type: ignore[arg-type]


def shard(
    cpu: float | None = 0.5,
    *,
    id: int = 0,
    replicas: int = 2,
    primary: float | None = 0.4,
    bytes: float | None = 20 << 30,
    writes: float | None = 20_000,
    **figures: float | bool | None,
) -> ShardFigures:
    members = tuple(member(cpu, **figures) for _ in range(replicas))
    return ShardFigures(id, replicas, members, Figures(cpu=primary), bytes, writes)


def steady(sample_of: ShardFigures, seconds: float, interval: float = INTERVAL, shards: int = 1) -> History:
    """The same for so long; the newest sample is of time `seconds`."""
    history = History()
    for step in range(int(seconds / interval) + 1):
        same = tuple(
            ShardFigures(
                number,
                sample_of.wanted,
                sample_of.replicas,
                sample_of.primary,
                sample_of.bytes,
                sample_of.writes,
                sample_of.foreign,
            )
            for number in range(shards)
        )
        history = history.with_sample(Sample(step * interval, same), RULES.keep_seconds)
    return history
