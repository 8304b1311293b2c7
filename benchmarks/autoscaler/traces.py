"""Generators of load, each with its seed: the same seed gives the same trace."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from aidb_coordinator.autoscaler import Limits, Mode, ReplicaRules, Rules, ShardRules

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Load:
    """Of the whole cluster: reads and writes a second, bytes stored."""

    reads: int
    writes: int
    bytes: int


def _load(reads: float, writes: float, size: float) -> Load:
    """Whole numbers: the last digit of a sine is another one on another machine."""
    return Load(round(reads), round(writes), round(size))


@dataclass(frozen=True, slots=True)
class Trace:
    """lost: times between which no metric arrives. spikes: when load jumps."""

    name: str
    about: str
    seed: int
    seconds: float
    load: Callable[[float], Load]
    rules: Rules
    lost: tuple[tuple[float, float], ...] = ()
    spikes: tuple[float, ...] = ()

    def is_lost(self, now: float) -> bool:
        return any(begin <= now < end for begin, end in self.lost)


# Of all traces: at most 8 replicas a shard and 12 shards.
def _rules(interval: float) -> Rules:
    shards = ShardRules()
    return Rules(
        mode=Mode.ON,
        interval=interval,
        replicas=ReplicaRules(limits=Limits(least=1, most=8, up_cooldown=max(30.0, interval))),
        shards=replace(shards, limits=replace(shards.limits, least=1, most=12)),
    )


def diurnal(seed: int = 1) -> Trace:
    """Two days; the nights have a tenth of the days' load, and every day another noise."""
    chance = random.Random(seed)
    waves = [(chance.uniform(300, 3_000), chance.uniform(0, math.tau)) for _ in range(6)]

    def load(now: float) -> Load:
        day = (1 - math.cos(math.tau * now / 86_400)) / 2
        noise = 1 + sum(math.sin(math.tau * now / period + phase) for period, phase in waves) / 60
        part = (0.1 + 0.9 * day) * noise
        return _load(reads=420_000 * part, writes=70_000 * part, size=60 * GIB)

    return Trace("diurnal", "two days and nights", seed, 2 * 86_400, load, _rules(60))


def spike(seed: int = 2) -> Trace:
    """Nearly four times the reads at once, twice, for ten minutes."""
    chance = random.Random(seed)
    begins = (600 + chance.uniform(0, 300), 2_700 + chance.uniform(0, 300))

    def load(now: float) -> Load:
        jumped = any(begin <= now < begin + 600 for begin in begins)
        noise = 1 + 0.03 * math.sin(now / 7)
        return _load(reads=(130_000 if jumped else 35_000) * noise, writes=8_000 * noise, size=20 * GIB)

    return Trace("spike", "reads jump for ten minutes", seed, 5_400, load, _rules(15), spikes=begins)


def flapping(seed: int = 3) -> Trace:
    """High and low in turns, faster than the stabilisation window, then slower."""
    chance = random.Random(seed)
    edges, now = [0.0], 0.0
    while now < 7_200:
        now += chance.uniform(45, 200) if now < 3_600 else chance.uniform(420, 700)
        edges.append(now)

    def load(now: float) -> Load:
        high = sum(edge <= now for edge in edges) % 2 == 0
        return _load(reads=110_000 if high else 14_000, writes=6_000, size=20 * GIB)

    return Trace("flapping", "high and low in turns", seed, 7_200, load, _rules(15))


def growth(seed: int = 4) -> Trace:
    """Three days in which data and writes become twelve times as much, and a quiet fourth."""
    chance = random.Random(seed)
    speed = [chance.uniform(0.7, 1.3) for _ in range(72)]
    level = [1 + 11 * sum(speed[:hour]) / sum(speed) for hour in range(73)]

    def load(now: float) -> Load:
        hour = min(now / 3_600, 71.999)
        at = level[int(hour)] + (level[int(hour) + 1] - level[int(hour)]) * (hour % 1)
        quiet = 0.15 if now > 72 * 3_600 else 1.0
        return _load(reads=20_000 * at * quiet, writes=16_000 * at * quiet, size=24 * GIB * at)

    return Trace("growth", "slow growth, then a quiet day", seed, 4 * 86_400, load, _rules(120))


def lost_metrics(seed: int = 5) -> Trace:
    """Load goes up and away while the metrics are missing, for seconds or for a quarter of an hour."""
    chance = random.Random(seed)
    short = [(at, at + chance.uniform(10, 50)) for at in (chance.uniform(0, 9_000) for _ in range(12))]
    long = [(2_400.0, 3_300.0), (5_400.0, 6_300.0)]

    def load(now: float) -> Load:
        high = 1_200 <= now < 2_700 or now >= 5_700
        noise = 1 + 0.05 * math.sin(now / 11)
        return _load(reads=(100_000 if high else 12_000) * noise, writes=5_000, size=20 * GIB)

    lost = tuple(sorted((*short, *long)))
    return Trace("lost-metrics", "metrics go missing", seed, 9_000, load, _rules(15), lost=lost)


GENERATORS: dict[str, Callable[[int], Trace]] = {
    "diurnal": diurnal,
    "spike": spike,
    "flapping": flapping,
    "growth": growth,
    "lost-metrics": lost_metrics,
}


def committed() -> list[Trace]:
    """With the seeds of the pictures in the documentation."""
    return [diurnal(), spike(), flapping(), growth(), lost_metrics()]
