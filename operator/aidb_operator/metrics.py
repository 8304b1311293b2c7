"""The operator's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

_TURN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics(Collector):
    """`age`: seconds since the last reconcile; `clusters`: how many there are; `ready`: whether the watches
    have seen everything.
    """

    def __init__(
        self, age: Callable[[], float], clusters: Callable[[], int], ready: Callable[[], bool]
    ) -> None:
        self._age, self._clusters, self._ready = age, clusters, ready
        own = CollectorRegistry()
        self._own = own
        self._turns = Counter("aidb_operator_reconciles", "Turns.", ["result"], registry=own)
        self._seconds = Histogram(
            "aidb_operator_reconcile_seconds", "Of a turn.", buckets=_TURN_SECONDS, registry=own
        )
        self._calls = Counter(
            "aidb_operator_api_calls",
            "Of the API server, open watches apart.",
            ["verb", "kind", "code"],
            registry=own,
        )
        for result in ("succeeded", "failed"):
            self._turns.labels(result)

    def turn(self, seconds: float, failed: bool) -> None:
        self._turns.labels("failed" if failed else "succeeded").inc()
        self._seconds.observe(seconds)

    def called(self, verb: str, kind: str, status: int) -> None:
        """`status`: of HTTP, 0 = no answer."""
        self._calls.labels(verb, kind, str(status)).inc()

    def collect(self) -> Iterator[Metric]:
        yield from self._own.collect()
        for name, text, value in (
            ("aidb_operator_reconcile_age_seconds", "Since the last reconcile.", self._age()),
            ("aidb_operator_clusters", "That it looks after.", float(self._clusters())),
            ("aidb_operator_ready", "Whether the watches have seen everything.", float(self._ready())),
        ):
            yield GaugeMetricFamily(name, text, value=value)
