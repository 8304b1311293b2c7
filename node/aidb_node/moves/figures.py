"""What a target's imports came to, as metrics. What the native side knows of moves is in `GetStats`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aidb.v1 import cluster_pb2 as pb


@dataclass(slots=True)
class Under:
    """An attempt that is under way. Monotonic seconds; `fenced_at` 0: it is not."""

    began_at: float
    progress: Callable[[], pb.MoveProgress]
    fenced_at: float = 0.0


@dataclass(slots=True)
class _Totals:
    """Of attempts that are over."""

    attempts: int = 0
    failed: int = 0
    bytes: int = 0
    entries: int = 0
    seconds: float = 0.0
    fences: int = 0
    fenced_seconds: float = 0.0


@dataclass(slots=True)
class Figures:
    """Of all imports of a process. Thread-safe."""

    clock: Callable[[], float] = time.monotonic
    deleted_ranges: int = 0
    _over: _Totals = field(default_factory=_Totals)
    _under: dict[str, Under] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def began(self, attempt: str, progress: Callable[[], pb.MoveProgress]) -> None:
        with self._lock:
            self._under[attempt] = Under(self.clock(), progress)

    def fenced(self, attempt: str) -> None:
        """From now on nobody serves its slots. Said again, it changes nothing."""
        with self._lock:
            under = self._under[attempt]
            under.fenced_at = under.fenced_at or self.clock()

    def ended(self, attempt: str, *, failed: bool) -> None:
        with self._lock:
            under = self._under.pop(attempt)
            now, progress, over = self.clock(), under.progress(), self._over
            over.attempts += 1
            over.failed += failed
            over.bytes += progress.bytes
            over.entries += progress.entries
            over.seconds += now - under.began_at
            if under.fenced_at:
                over.fences += 1
                over.fenced_seconds += now - under.fenced_at

    def sums(self) -> tuple[_Totals, Counter[str]]:
        """With what those under way came to so far; and how many are at which step."""
        with self._lock:
            over, steps = self._over, Counter[str]()
            bytes_, entries = over.bytes, over.entries
            for under in self._under.values():
                progress = under.progress()
                bytes_ += progress.bytes
                entries += progress.entries
                steps[progress.step or "waiting"] += 1
            totals = _Totals(
                over.attempts, over.failed, bytes_, entries, over.seconds, over.fences, over.fenced_seconds
            )
            return totals, steps


class MoveCollector(Collector):
    """All metrics are labelled with the shard."""

    def __init__(self, figures: Figures, shard: int) -> None:
        self._figures = figures
        self._shard = str(shard)

    def collect(self) -> Iterator[Metric]:
        totals, steps = self._figures.sums()
        at = GaugeMetricFamily(
            "aidb_move_imports", "Imports of slots under way, by step", labels=("shard", "step")
        )
        for step, count in sorted(steps.items()):
            at.add_metric((self._shard, step), count)
        yield at
        for name, text, value in (
            ("aidb_move_attempts", "Imports of slots that are over", totals.attempts),
            ("aidb_move_attempts_failed", "Imports of slots that could not go on", totals.failed),
            ("aidb_move_seconds", "What imports took that are over", totals.seconds),
            ("aidb_move_imported_bytes", "Bytes of log records imported", totals.bytes),
            ("aidb_move_imported_entries", "Operations imported", totals.entries),
            ("aidb_move_fences", "Imports during which the slots were fenced", totals.fences),
            ("aidb_move_fenced_seconds", "How long nobody served those slots", totals.fenced_seconds),
            (
                "aidb_move_deleted_ranges",
                "Ranges of slots deleted because they are others'",
                self._figures.deleted_ranges,
            ),
        ):
            counter = CounterMetricFamily(name, text, labels=("shard",))
            counter.add_metric((self._shard,), value)
            yield counter
