"""What this process knows of its own backups, beside what `GetStats` has of the second copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class BackupCollector(Collector):
    """``took``: seconds of the newest snapshot; 0 = this process has taken none. ``every``: how often one is
    wanted, in seconds.
    """

    def __init__(self, took: Callable[[], float], every: float, shard: int) -> None:
        self._took = took
        self._every = every
        self._shard = str(shard)

    def collect(self) -> Iterator[Metric]:
        for name, text, value in (
            (
                "duration",
                "What this process's newest snapshot took; 0 = it has taken none",
                self._took(),
            ),
            ("interval", "How often a snapshot is wanted", self._every),
        ):
            family = GaugeMetricFamily(f"aidb_backup_{name}_seconds", text, labels=("shard",))
            family.add_metric((self._shard,), value)
            yield family
