"""Records of libraries that repeat: a few, then one in a while that says how many there were.

gRPC writes a traceback for each request that it cannot parse and for each caller that left, so that whoever
reaches a port could fill the disk, or hold the program back where its log is read slowly. Our own records
count what they are about themselves, and pass.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

OURS = "aidb"
# So many alike pass in so many seconds.
AT_MOST = 5
SECONDS = 10.0
# Kinds of records that are kept apart; beyond that the oldest kind is forgotten.
KINDS = 64


@dataclass(slots=True)
class _Seen:
    began: float
    count: int


class Sparing(logging.Filter):
    """Alike are records of one logger with one message, before its arguments are put in, and one kind of
    exception.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str, str], _Seen] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0].startswith(OURS):
            return True
        kind = record.exc_info[0] if record.exc_info else None
        key = record.name, str(record.msg), kind.__name__ if kind else ""
        now = self._clock()
        with self._lock:
            seen = self._seen.get(key)
            if seen is not None and now - seen.began < SECONDS:
                seen.count += 1
                return seen.count <= AT_MOST
            left_out = 0 if seen is None else max(0, seen.count - AT_MOST)
            self._seen.pop(key, None)
            if len(self._seen) >= KINDS:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = _Seen(now, 1)
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} more like it were left out)"
            record.args = None
        return True
