"""A limit of bytes a second for several threads, over time: one file goes at once, the next ones wait for
it.
"""

from __future__ import annotations

import threading
import time


class RateLimit:
    """0 bytes a second = no limit."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, size: int, stop: threading.Event) -> bool:
        """Waits until ``size`` bytes may go; false when ``stop`` was set meanwhile."""
        if self._rate <= 0:
            return not stop.is_set()
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + size / self._rate
        return not stop.wait(max(0.0, begin - time.monotonic()))
