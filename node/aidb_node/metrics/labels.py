"""Families of metrics with the labels of one node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

# 16 microseconds: what is less is one bucket of a histogram.
_FIRST_BUCKET = 4


class Labels:
    """What all samples of a node carry."""

    def __init__(self, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        self._names = names
        self._values = values

    def gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=self._names)
        family.add_metric(self._values, float(value))
        return family

    def counter(self, name: str, text: str, value: float) -> Metric:
        """The format adds ``_total`` to the name."""
        return self.counters(name, text, (), {(): value})

    def gauges(self, name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=(*self._names, label))
        for of, value in values:
            family.add_metric((*self._values, of), float(value))
        return family

    def counters(
        self, name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
    ) -> Metric:
        family = CounterMetricFamily(name, text, labels=(*self._names, *labels))
        for of, value in values.items():
            family.add_metric((*self._values, *of), float(value))
        return family

    def histogram_us(self, name: str, text: str, counts: Sequence[int], sum_us: int) -> Metric:
        return self.histograms_us(name, text, (), {(): (counts, sum_us)})

    def histograms_us(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        values: Mapping[tuple[str, ...], tuple[Sequence[int], int]],
    ) -> Metric:
        """Counts and their sum. Bucket i: less than 2^i microseconds; the last has no end."""
        family = HistogramMetricFamily(name, text, labels=(*self._names, *labels))
        for of, (counts, sum_us) in values.items():
            family.add_metric((*self._values, *of), _buckets(counts), sum_us / 1e6)
        return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    sums = list(accumulate(counts)) or [0]
    bounds = [*(str(2**power / 1e6) for power in range(len(sums) - 1)), "+Inf"]
    return list(zip(bounds, map(float, sums), strict=True))[min(_FIRST_BUCKET, len(sums) - 1) :]
