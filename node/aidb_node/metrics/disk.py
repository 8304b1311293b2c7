"""The disk below a primary's data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class DiskCollector(Collector):
    """Of the file system of ``directory``; nothing while that cannot be asked."""

    def __init__(self, directory: Path, shard: int) -> None:
        self._directory = directory
        self._shard = str(shard)

    def collect(self) -> Iterator[Metric]:
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return
        for name, text, blocks in (
            ("size", "Of the file system that the data lies on", found.f_blocks),
            ("free", "Of it, free for this program", found.f_bavail),
        ):
            family = GaugeMetricFamily(f"aidb_disk_{name}_bytes", text, labels=("shard",))
            family.add_metric((self._shard,), float(blocks * found.f_frsize))
            yield family
