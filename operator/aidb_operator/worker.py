"""Who reconciles when: one turn at a time for each cluster, in a bounded pool.

Wakes that come while a cluster waits or has its turn are one. A turn that fails is repeated after a backoff
with jitter; one that succeeds, after the resync period, or when it asked to look again. Nothing in memory
matters: after a restart every cluster is woken once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aidb.logs import about
from aidb_operator.kubernetes.store import ClusterKey

log = logging.getLogger("aidb.operator")

# Seconds. Events come in showers: a turn waits a little for the rest of one.
SETTLE = 0.1
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 60.0


@dataclass(slots=True)
class _Cluster:
    due: float | None = None  # monotonic; None = nothing asks for a turn
    running: bool = False
    failures: int = 0
    last_end: float = 0.0


# One turn: seconds until the next although nothing happens, at most the resync period. Raises whatever.
Turn = Callable[[ClusterKey], float | None]


def backoff(failures: int, jitter: float) -> float:
    """Seconds after so many failures in a row; `jitter` from 0 to 1."""
    longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 16))
    return float(longest) * (0.5 + jitter / 2)


class Worker:
    """Start with `start`, end with `close`."""

    def __init__(self, turn: Turn, *, resync: float = 30.0, threads: int = 4) -> None:
        self._turn = turn
        self._resync = resync
        self._clusters: dict[ClusterKey, _Cluster] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reconcile")
        self._thread = threading.Thread(target=self._schedule, name="worker", daemon=True)
        self._last_end = time.monotonic()
        self._scheduler_beat = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def wake(self, key: ClusterKey, delay: float = SETTLE) -> None:
        with self._changed:
            cluster = self._clusters.setdefault(key, _Cluster())
            due = time.monotonic() + delay
            if cluster.due is None or due < cluster.due:
                cluster.due = due
                self._changed.notify()

    def known(self) -> Iterable[ClusterKey]:
        with self._changed:
            return list(self._clusters)

    def forget(self, key: ClusterKey) -> None:
        """Of a cluster that is gone."""
        with self._changed:
            self._clusters.pop(key, None)

    @property
    def age(self) -> float:
        """Seconds since a turn ended last; where there is no cluster, since the scheduler lived."""
        with self._changed:
            last = self._last_end if self._clusters else self._scheduler_beat
        return time.monotonic() - last

    def close(self) -> None:
        """Turns under way end first; those that only wait for a thread do not begin."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    @property
    def closed(self) -> bool:
        return self._closed

    def _schedule(self) -> None:
        with self._changed:
            while not self._closed:
                now = self._scheduler_beat = time.monotonic()
                waiting = [
                    one.due for one in self._clusters.values() if one.due is not None and not one.running
                ]
                for key, cluster in self._clusters.items():
                    if cluster.due is not None and cluster.due <= now and not cluster.running:
                        cluster.due, cluster.running = None, True
                        self._pool.submit(self._run, key)
                self._changed.wait(min([1.0, *(max(0.0, due - now) for due in waiting if due > now)]))

    def _run(self, key: ClusterKey) -> None:
        if self._closed:
            return
        again: float | None = None
        failed = False
        try:
            with about(cluster=str(key)):
                again = self._turn(key)
        except Exception:
            # The next turn comes by itself, later each time.
            log.exception("cannot reconcile %s", key)
            failed = True
        with self._changed:
            self._last_end = time.monotonic()
            cluster = self._clusters.get(key)
            if cluster is None:
                return
            cluster.running = False
            cluster.failures = cluster.failures + 1 if failed else 0
            if failed:
                pause = backoff(cluster.failures, random.random())
            else:
                asked = self._resync if again is None else min(again, self._resync)
                pause = asked * random.uniform(0.9, 1.1)
            due = self._last_end + pause
            if failed or cluster.due is None or due < cluster.due:
                cluster.due = due
            self._changed.notify()
