"""C7: how far a node's clock is from the coordinator's, as heartbeats show it.

A heartbeat carries the node's wall clock at sending, so it looks behind by the time it travelled. Over some
heartbeats the largest `node - coordinator` is the one that travelled least, and nearest the truth. A single
slow message condemns nobody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW = 4


@dataclass(slots=True)
class ClockWindow:
    _offsets: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def observe(self, node_ms: int, own_ms: int) -> None:
        self._offsets.append(node_ms - own_ms)

    def skew_ms(self) -> int:
        """Positive: the node is ahead. 0 until the window is full, unless the node is ahead, which no delay
        can feign.
        """
        if not self._offsets:
            return 0
        best = max(self._offsets)
        return best if best > 0 or len(self._offsets) == WINDOW else 0
