"""What the metrics of one sample ask for, by themselves: replicas of a shard, and shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aidb_coordinator.autoscaler.history import Sample, ShardFigures
from aidb_coordinator.autoscaler.proposals import Proposal, Reading, by_ratio, known, largest
from aidb_coordinator.autoscaler.rules import Band, ReplicaRules, ShardRules

# Caches that are this full would hold more if they could.
_FULL = 0.9

Recommendation = tuple[int, tuple[str, ...]]


def replicas(shard: ShardFigures, rules: ReplicaRules, tolerance: float) -> Recommendation:
    """How many replicas the shard should have, and why."""
    return largest(shard.wanted, _of_replicas(shard, rules, tolerance))


def _of_replicas(shard: ShardFigures, rules: ReplicaRules, tolerance: float) -> Iterator[Proposal]:
    if shard.wanted == 0:
        yield from _of_a_primary_alone(shard, rules)
        return
    members, count = shard.replicas, shard.wanted
    if rules.cpu is not None:
        cpu = [Reading(member.cpu, member.ready) for member in members]
        yield by_ratio("CPU of replicas", cpu, count, rules.cpu, tolerance, _percent)
    if rules.read_ms is not None:
        latency = [Reading(member.read_ms, member.ready) for member in members]
        asked = by_ratio("read latency", latency, count, rules.read_ms, tolerance, _milliseconds)
        yield _one_more(asked, shard, rules)
    if rules.hit_ratio is not None:
        yield _of_caches(shard, rules, rules.hit_ratio)


def _one_more(asked: Proposal, shard: ShardFigures, rules: ReplicaRules) -> Proposal:
    """Latency is not in proportion to servers: it asks for one more, or for no less; how few would do, CPU
    tells.
    """
    count = shard.wanted
    if asked.wanted is None or asked.wanted == count:
        return asked
    if asked.wanted < count:
        return Proposal(0 if rules.cpu is not None else count - 1, asked.reason)
    if _one_more_idles(shard, rules):
        return Proposal(count, f"{asked.reason}, but one more would be idle")
    return Proposal(count + 1, asked.reason)


def _one_more_idles(shard: ShardFigures, rules: ReplicaRules) -> bool:
    """Whether the CPU would call for fewer at once: what is asked for besides would come and go for ever."""
    cpu = [value for member in shard.replicas if member.ready and (value := known(member.cpu)) is not None]
    if rules.cpu is None or not cpu:
        return False
    return sum(cpu) / len(cpu) * shard.wanted / (shard.wanted + 1) < rules.cpu.low


def _of_a_primary_alone(shard: ShardFigures, rules: ReplicaRules) -> Iterator[Proposal]:
    """Without replicas the primary's load tells whether there should be one."""
    if rules.cpu is not None:
        cpu = None if shard.primary is None else known(shard.primary.cpu)
        if cpu is None:
            yield Proposal(None, "CPU of the primary is not known")
        elif cpu > rules.cpu.high:
            high = _percent(rules.cpu.high)
            yield Proposal(1, f"CPU of the primary {_percent(cpu)} is above {high}, without replicas")
        else:
            yield Proposal(0, f"CPU of the primary {_percent(cpu)} needs no replica")


def _of_caches(shard: ShardFigures, rules: ReplicaRules, least: float) -> Proposal:
    """Caches add up: one more where they are full, and are read. When CPU calls for fewer, misses are few."""
    ready = [member for member in shard.replicas if member.ready]
    ratios = [ratio for member in ready if (ratio := known(member.hit_ratio)) is not None]
    fill = [full for member in ready if (full := known(member.cache_full)) is not None]
    if not ratios or not fill:
        return Proposal(None, "hit ratio is not known")
    ratio, full = sum(ratios) / len(ratios), sum(fill) / len(fill)
    heard = f"hit ratio {_percent(ratio)}"
    content = 0 if rules.cpu is not None else shard.wanted
    if ratio >= least:
        return Proposal(content, f"{heard} is at least {_percent(least)}")
    heard += f" is below {_percent(least)}"
    if full < _FULL:
        return Proposal(content, f"{heard}, but caches are {_percent(full)} full")
    if len(ratios) < shard.wanted:
        return Proposal(shard.wanted, f"{heard}, but not all replicas are ready")
    if _one_more_idles(shard, rules):
        return Proposal(content, f"{heard}, but one more would be idle")
    return Proposal(shard.wanted + 1, f"{heard} with full caches")


def shards(sample: Sample, rules: ShardRules, tolerance: float) -> Recommendation:
    """How many shards the cluster should have, and why."""
    return largest(len(sample.shards), _of_shards(sample, rules, tolerance))


def _of_shards(sample: Sample, rules: ShardRules, tolerance: float) -> Iterator[Proposal]:
    if rules.cpu is not None:
        cpu = [_primary_cpu(shard) for shard in sample.shards]
        yield _evenly("CPU of primaries", cpu, rules.cpu, tolerance, "load", _percent)
    if rules.bytes is not None:
        sizes = [Reading(shard.bytes) for shard in sample.shards]
        yield _evenly("bytes of a shard", sizes, rules.bytes, tolerance, "bytes", _bytes)
    if rules.writes is not None:
        writes = [Reading(shard.writes) for shard in sample.shards]
        yield _evenly("writes of a shard", writes, rules.writes, tolerance, "load", _per_second)


def _primary_cpu(shard: ShardFigures) -> Reading:
    return Reading(None) if shard.primary is None else Reading(shard.primary.cpu, shard.primary.ready)


def _evenly(
    name: str,
    readings: list[Reading],
    band: Band,
    tolerance: float,
    by: str,
    show: Callable[[float], str],
) -> Proposal:
    """The mean counts: what lies unevenly calls for other places, not for more shards. But while a shard has
    too much, none goes.
    """
    count = len(readings)
    asked = by_ratio(name, readings, count, band, tolerance, show)
    most = max((value for reading in readings if (value := known(reading.value)) is not None), default=0.0)
    if asked.wanted is None or asked.wanted > count or most <= band.high:
        return asked
    return Proposal(count, f"{name} {show(most)} on one, but not on all: rebalance by {by}")


def _percent(part: float) -> str:
    return f"{part:.0%}"


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms"


def _bytes(count: float) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s"
