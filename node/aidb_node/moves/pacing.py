"""How many bytes a second all imports of a node may take together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """`rate` in bytes a second; 0 = no limit. A burst of a tenth of a second is let through."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0

    def due(self, size: int) -> float:
        """Spends `size` bytes; for how long whoever took them has to wait, in seconds."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - 0.1) + size / self._rate
            return max(0.0, self._free_at - now)

    def spend(self, size: int, over: threading.Event) -> None:
        """Waits for what `size` bytes cost, or until `over`."""
        due = self.due(size)
        if due > 0:
            over.wait(due)
