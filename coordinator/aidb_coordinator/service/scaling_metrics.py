"""Operations and slot moves, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aidb_coordinator.scaling.operation import Kind, State
from aidb_coordinator.service.operations import ScalingStatus
from aidb_coordinator.topology import MoveStep


class ScalingCollector(Collector):
    """``status`` is called from the metrics' thread, and gives what the coordinator's thread sees."""

    def __init__(self, status: Callable[[], ScalingStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        family = GaugeMetricFamily(
            "aidb_operations", "Operations that are shown, by kind and state", labels=("kind", "state")
        )
        counts = Counter((operation.kind, operation.state) for operation, _ in status.operations)
        for kind in Kind:
            for state in State:
                family.add_metric((kind.value, state.value), counts[kind, state])
        yield family
        live = [(operation, progress) for operation, progress in status.operations if not operation.ended]
        for name, text, field in (
            ("slots", "To be moved by the operation's plan", "slots"),
            ("slots_done", "Of them, those that have been", "slots_done"),
            ("bytes_left", "To be moved, roughly", "bytes_left"),
            ("bytes_per_second", "Of its moves under way", "bytes_per_second"),
        ):
            family = GaugeMetricFamily(f"aidb_operation_{name}", text, labels=("operation", "kind"))
            for operation, progress in live:
                family.add_metric((operation.id, operation.kind.value), getattr(progress, field))
            yield family
        steps = Counter(move.step for move in status.moves)
        family = GaugeMetricFamily(
            "aidb_slot_moves", "Slot moves by step; of those that have ended, the last", labels=("step",)
        )
        for step in MoveStep:
            family.add_metric((step.value,), steps[step])
        yield family
        attempts = sum(move.attempt - 1 for move in status.moves)
        yield GaugeMetricFamily(
            "aidb_slot_move_aborts", "Attempts of these moves that were aborted", attempts
        )
