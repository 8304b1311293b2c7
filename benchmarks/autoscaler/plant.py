"""A cluster as far as the autoscaler sees it: figures for load, and the time that changes take.

Rough on purpose: what matters is that figures follow load and numbers, that new members come late, and that a
change of the number of shards takes as long as its bytes. Load and data are even over shards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aidb_coordinator.autoscaler import Decision, Figures, Rules, Sample, ShardFigures

from benchmarks.autoscaler.traces import GIB, Load

# What one server does at full CPU, a second.
READS_OF_A_REPLICA = 25_000.0
WRITES_OF_A_PRIMARY = 40_000.0
MISSES_OF_A_PRIMARY = 25_000.0
START_SECONDS = 20.0
WARM_SECONDS = 60.0
BYTES_MOVED_A_SECOND = 100e6
CACHE_BYTES = 2 * GIB
# Part of the data that is read often.
_HOT = 0.15
_READ_MS = 0.25


@dataclass(slots=True)
class Plant:
    """`replicas`: when each of a shard's began, by shard."""

    replicas: dict[int, list[float]]
    limits: Rules
    moving_until: float = 0.0
    moving: int = 0
    _serving: int = field(default=0)

    @classmethod
    def of(cls, shards: int, replicas: int, rules: Rules) -> Plant:
        began = -START_SECONDS - WARM_SECONDS
        plant = cls({shard: [began] * replicas for shard in range(shards)}, rules)
        plant._serving = shards
        return plant

    @property
    def shards(self) -> int:
        """That take part: a new one does when its slots have moved."""
        return self._serving

    def capacity(self, now: float) -> tuple[float, float]:
        """Reads and writes a second at full CPU, of what serves now."""
        counts = [self._up(shard, now) for shard in self.replicas]
        return sum(counts) * READS_OF_A_REPLICA, self._serving * WRITES_OF_A_PRIMARY

    def sample(self, now: float, load: Load) -> Sample:
        if self.moving and now >= self.moving_until:
            self._serving, self.moving = self._serving + self.moving, 0
            for shard in list(self.replicas)[self._serving :]:
                del self.replicas[shard]
        reads, writes, size = (each / self._serving for each in (load.reads, load.writes, load.bytes))
        shards = tuple(self._shard(shard, now, reads, writes, size) for shard in sorted(self.replicas))
        busy = "moves are under way" if self.moving else ""
        return Sample(now, shards, busy)

    def _shard(self, shard: int, now: float, reads: float, writes: float, size: float) -> ShardFigures:
        up = self._up(shard, now)
        wanted = len(self.replicas[shard])
        if shard >= self._serving:
            idle = Figures(cpu=0.0)
            return ShardFigures(shard, wanted, (), idle, 0.0, 0.0)
        busy = reads / (up * READS_OF_A_REPLICA) if up else 2.0
        hot = max(1.0, _HOT * size)
        hit = min(0.98, up * CACHE_BYTES / hot)
        full = min(1.0, hot / (max(1, up) * CACHE_BYTES))
        latency = _READ_MS / max(0.02, 1 - min(busy, 1.0))
        members = tuple(
            Figures(
                ready=now - began >= START_SECONDS + WARM_SECONDS / 2,
                cpu=min(1.0, busy),
                read_ms=latency,
                hit_ratio=hit,
                cache_full=full,
            )
            for began in self.replicas[shard]
            if now - began >= START_SECONDS
        )
        cpu = writes / WRITES_OF_A_PRIMARY + reads * (1 - hit) / MISSES_OF_A_PRIMARY
        return ShardFigures(shard, wanted, members, Figures(cpu=min(1.0, cpu)), size, writes)

    def _up(self, shard: int, now: float) -> int:
        return sum(now - began >= START_SECONDS for began in self.replicas[shard])

    def follow(self, decision: Decision, now: float, load: Load) -> None:
        """Begins what was decided."""
        if not decision.apply:
            return
        for shard, scale in decision.replicas.items():
            began = self.replicas[shard]
            if not scale.changes or len(began) != scale.current:
                continue
            began += [now] * (scale.wanted - len(began))
            del began[scale.wanted :]
        change = decision.shards.wanted - decision.shards.current
        if not change or self.moving or len(self.replicas) != decision.shards.current:
            return
        self.moving = change
        most = max(len(self.replicas), decision.shards.wanted)
        self.moving_until = now + load.bytes * abs(change) / most / BYTES_MOVED_A_SECOND
        least = self.limits.replicas.limits.least
        for shard in range(len(self.replicas), decision.shards.wanted):
            self.replicas[shard] = [now] * max(1, least)
