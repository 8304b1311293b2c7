"""The topology's history, in the object store: every version that the coordinator stores is kept there
too, in order and by a thread of its own. The store may be away; nothing waits for it.

What cannot be kept yet is remembered, `_MOST` versions at most: then the oldest are left out, never the
newest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aidb.durability.history import History, collect, ensure_history
from aidb.durability.placement import Placement
from aidb.objects.errors import ObjectError
from aidb.objects.opening import connect
from aidb.objects.retrying import Patience
from aidb_coordinator import codec
from aidb_coordinator.topology import Topology

log = logging.getLogger("aidb.coordinator")

_MOST = 1_000
_PAUSES = Patience(first_pause=0.2, longest_pause=10.0)
_LOG_EACH = 20
_COLLECT_SECONDS = 86_400.0
# How long the end waits for what is on its way.
_END_SECONDS = 5.0


class TopologyArchive(Collector):
    """`put` from anywhere. ``url`` of the object store; raises `ObjectError` when it can be none."""

    def __init__(self, url: str, cluster_uid: str, wall_ms: Callable[[], int]) -> None:
        self._store = connect(url)
        self._cluster_uid = cluster_uid
        self._wall_ms = wall_ms
        self._waiting: deque[Placement] = deque(maxlen=_MOST)
        self._last = 0, 0
        self._kept_ms = 0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self.archived_version = 0
        self.error = ""
        self._thread = threading.Thread(target=self._run, name="topology-archive", daemon=True)
        self._thread.start()

    def put(self, topology: Topology) -> None:
        """Remembers a version, if it is a new one, to be kept as soon as the store answers."""
        version, at_ms = self._last
        if topology.version > version:
            self._last = topology.version, max(at_ms, self._wall_ms())
            self._waiting.append(Placement(self._last[1], codec.to_proto(topology)))
            self._wake.set()

    def close(self) -> None:
        """What waits is tried once more."""
        self._stop.set()
        self._wake.set()
        # A call of the store that is under way ends after it; as a daemon it keeps no program from its end.
        self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._store.close()

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "aidb_topology_archived_version",
            "The newest version of the topology in the object store",
            self.archived_version,
        )
        yield GaugeMetricFamily(
            "aidb_topology_archive_failing",
            "1 while the newest attempt to keep a version failed",
            float(bool(self.error)),
        )

    def _run(self) -> None:
        history: History | None = None
        failures, collected = 0, float("-inf")
        while True:
            self._wake.clear()
            ends = self._stop.is_set()
            try:
                if history is None:
                    history = self._open()
                while self._waiting:
                    self._keep(history, self._waiting[0])
                failures, self.error = 0, ""
                if not ends and time.monotonic() - collected > _COLLECT_SECONDS:
                    collected = time.monotonic()
                    collect(history, dry_run=False)
                pause = _COLLECT_SECONDS
            except ObjectError as error:
                if failures % _LOG_EACH == 0:
                    log.warning("topology not archived yet: attempt=%d %s", failures + 1, error)
                self.error = str(error)
                pause = _PAUSES.pause(failures)
                failures += 1
            if ends:
                return
            if failures:
                self._stop.wait(pause)
            else:
                self._wake.wait(pause)

    def _open(self) -> History:
        """Raises `ObjectError`."""
        history = ensure_history(self._store, self._cluster_uid)
        newest = history.newest_version()
        if newest:
            self._kept_ms = history.get(newest).at_ms
        return history

    def _keep(self, history: History, placement: Placement) -> None:
        # Another coordinator's clock may have been ahead: times of versions never fall.
        self._kept_ms = max(self._kept_ms, placement.at_ms)
        kept = history.put(replace(placement, at_ms=self._kept_ms))
        version = placement.topology.version
        if not kept.same_as(placement):
            log.error(
                "version %d of the topology in %s is another one, of term %d: "
                "a second coordinator of this cluster wrote it",
                version,
                self._store.url,
                kept.topology.term,
            )
        self.archived_version = version
        # Others may have been left out meanwhile, and this one with them.
        if self._waiting and self._waiting[0] is placement:
            self._waiting.popleft()
