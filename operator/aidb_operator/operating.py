"""The operator's parts, put together: watches, worker, figures, and their orderly end."""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

from aidb.metrics import MetricsServer
from aidb_operator.coordinator import Coordinators
from aidb_operator.events import Events
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import Api, ApiError
from aidb_operator.kubernetes.kinds import Kind
from aidb_operator.kubernetes.store import ClusterKey, Store
from aidb_operator.metrics import Metrics
from aidb_operator.reconcile import Surroundings, reconcile
from aidb_operator.watching import WatchesFailed, Watching
from aidb_operator.worker import Worker

log = logging.getLogger("aidb.operator")

# Seconds. The loop of the watches is dead when it has not lived for so long.
DEAD_LOOP = 60.0
DISCOVERY = 600.0


@dataclass(frozen=True, slots=True)
class Options:
    """`namespaces`: empty = all. `image`: of clusters that name none. `listen`: of livez, readyz, metrics.
    `resync`: seconds between two looks at a cluster where nothing happens. `instance`: this pod.
    """

    namespaces: tuple[str, ...] = ()
    image: str = ""
    listen: str = "0.0.0.0:8080"
    resync: float = 30.0
    threads: int = 4
    instance: str = "aidb-operator"


class Operator:
    """`run` blocks until `stop`."""

    def __init__(self, options: Options, client: Any) -> None:
        """Raises MetricsAddressError."""
        self._options = options
        self._configuration = client.configuration
        self._stop = threading.Event()
        self._failure = ""
        self._store = Store()
        self._coordinators = Coordinators()
        self._available: frozenset[Kind] = frozenset()
        self._worker = Worker(self._turn, resync=options.resync, threads=options.threads)
        self._watching: Watching | None = None
        self.metrics = Metrics(
            lambda: self._worker.age, lambda: len(list(self._store.clusters())), lambda: self.ready
        )
        self._api = Api(client, self.metrics.called)
        self._around = Surroundings(
            store=self._store,
            api=self._api,
            coordinators=self._coordinators,
            events=Events(self._api, options.instance),
            telling=self.metrics,
            available=lambda: self._available,
            image=options.image,
            stopped=self._stop.is_set,
        )
        pages = {"/livez": self._live, "/healthz": self._live, "/readyz": self._whether_ready}
        self._server = MetricsServer(options.listen, pages=pages)
        self._server.register(self.metrics)
        self.address = self._server.address

    def run(self) -> str:
        """Why it failed; empty when it was stopped. The watches have a thread of their own: in the main one
        kopf would take the signals.
        """
        log.info("serving /livez, /readyz and /metrics on %s", self.address)
        self._worker.start()
        helpers: list[threading.Thread] = []
        try:
            if not self._await_definitions():
                return ""
            watched = [kind for kind in kinds.WATCHED if kind in self._available]
            self._watching = Watching(
                self._store, self._wake, self._options.namespaces, watched, self._configuration
            )
            for target in (self._watch, self._discover):
                helpers.append(threading.Thread(target=target, name=target.__name__, daemon=True))
                helpers[-1].start()
            self._stop.wait()
            return self._failure
        finally:
            self.stop()
            for helper in helpers:
                helper.join()
            self._worker.close()
            self._coordinators.close()
            self._server.close()

    def stop(self) -> None:
        """A turn under way ends after the call that it makes."""
        self._stop.set()
        if self._watching is not None:
            self._watching.stop()

    def stop_at_signals(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    @property
    def ready(self) -> bool:
        return self._watching is not None and self._watching.ready.is_set()

    @property
    def dead(self) -> str:
        """Why it should be started again; empty = it lives."""
        if self._watching is not None and time.monotonic() - self._watching.beat > DEAD_LOOP:
            return "the loop of the watches does not go on"
        longest = max(300.0, 5 * self._options.resync)
        if self.ready and self._worker.age > longest:
            return f"no reconcile has ended for {self._worker.age:.0f} s"
        return ""

    def _watch(self) -> None:
        assert self._watching is not None
        try:
            self._watching.run()
        except WatchesFailed as error:
            self._failure = str(error)
            self.stop()

    def _turn(self, key: ClusterKey) -> float | None:
        again = reconcile(key, self._around)
        if key not in self._store.clusters():
            self._worker.forget(key)
        return again

    def _wake(self, key: ClusterKey | None) -> None:
        for one in self._store.clusters() if key is None else (key,):
            known = key is None or key in self._store.clusters() or key in self._worker.known()
            # Backups outlive their cluster, and may be deleted after it.
            if known or self._store.of_cluster(one).get(kinds.BACKUP):
                self._worker.wake(one)

    def _await_definitions(self) -> bool:
        """False when it is stopped before the API server serves our kinds."""
        told = False
        while not self._stop.is_set():
            missing = [kind for kind in kinds.OWN if kind not in self._look()]
            if not missing:
                return True
            if not told:
                log.warning(
                    "the API server does not serve %s: install the CRDs; waiting",
                    ", ".join(kind.name for kind in missing),
                )
                told = True
            self._stop.wait(2.0)
        return False

    def _look(self) -> frozenset[Kind]:
        """Which of the kinds that may be absent are served; those of Kubernetes itself always are."""
        found = set(kinds.WATCHED)
        for group in {kind.api_version for kind in kinds.OPTIONAL}:
            try:
                served = self._api.resources(group)
            except ApiError as error:
                log.warning("%s", error)
                return self._available
            found -= {
                kind for kind in kinds.OPTIONAL if kind.api_version == group and kind.plural not in served
            }
        self._available = frozenset(found)
        return self._available

    def _discover(self) -> None:
        """A ServiceMonitor's definition that is installed later is used after a while."""
        while not self._stop.wait(DISCOVERY):
            before = self._available
            if self._look() - before and self._watching is not None:
                log.info("the API server serves more kinds: reading anew")
                self._watching.restart([kind for kind in kinds.WATCHED if kind in self._available])

    def _live(self) -> tuple[int, str]:
        return (503, self.dead) if self.dead else (200, f"age {self._worker.age:.1f}")

    def _whether_ready(self) -> tuple[int, str]:
        return (200, "ready") if self.ready else (503, "the watches have not seen everything yet")
