"""Keys that a cache has said are hot: so much of what it is asked for that their readers had better spread
over all of the shard's caches. No I/O. The Rust router goes by the same rules.
"""

from __future__ import annotations

import threading

# A cache looks at one read in 32: so long it may take until it says so again. Seconds.
KEPT = 60.0
# A key is hot only with one in 16 of what a cache is asked for, so there are few.
MOST = 256


class HotKeys:
    """Thread-safe. ``now``: seconds of one clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Until when, the one heard of longest ago first.
        self._until: dict[bytes, float] = {}

    def told(self, key: bytes, now: float) -> None:
        """Beyond `MOST` the one that was heard of longest ago gives way."""
        with self._lock:
            self._until.pop(key, None)
            while len(self._until) >= MOST:
                del self._until[next(iter(self._until))]
            self._until[key] = now + KEPT

    def contains(self, key: bytes, now: float) -> bool:
        """Whether ``key`` was hot within the last minute."""
        until = self._until.get(key)
        if until is None:
            return False
        if until > now:
            return True
        with self._lock:
            if self._until.get(key) == until:
                del self._until[key]
        return False
