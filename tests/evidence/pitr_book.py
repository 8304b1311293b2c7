"""What was written to a shard, by the versions that it answered: a model of the state at every LSN."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# (keyspace, key)
Key = tuple[int, bytes]
State = dict[Key, bytes]


@dataclass(frozen=True, slots=True)
class Write:
    """``value`` None: a delete. Sent and answered in ms of this machine's clock."""

    version: int
    key: Key
    value: bytes | None
    sent_ms: int
    answered_ms: int


@dataclass(slots=True)
class Book:
    """``vague``: spans of LSNs (exclusive, exclusive) in which a delete took effect whose answer was lost."""

    writes: list[Write] = field(default_factory=list)
    vague: list[tuple[int, int]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _newest: int = 0

    def note(self, writes: Iterable[Write]) -> None:
        with self._lock:
            for write in writes:
                self.writes.append(write)
                self._newest = max(self._newest, write.version)

    @property
    def newest(self) -> int:
        with self._lock:
            return self._newest

    def give_up_after(self, lsn: int) -> None:
        """The shard was restored to ``lsn``."""
        self.writes = [write for write in self.writes if write.version <= lsn]
        self.vague = [(low, min(high, lsn)) for low, high in self.vague if low < lsn]
        self._newest = lsn

    def certain(self, first: int) -> list[int]:
        """LSNs from ``first`` on at which something was written, and the state is known."""
        known = {write.version for write in self.writes if write.version >= first}
        return sorted(lsn for lsn in known if not any(low < lsn < high for low, high in self.vague))

    def states(self, lsns: Iterable[int]) -> Iterator[tuple[int, State]]:
        """The state at each of ``lsns``, ascending; the dictionary is the same one, changed."""
        ordered = sorted(self.writes, key=lambda write: write.version)
        state: State = {}
        position = 0
        for lsn in sorted(lsns):
            while position < len(ordered) and ordered[position].version <= lsn:
                apply(state, ordered[position])
                position += 1
            yield lsn, state

    def between(self, clock_ms: int) -> tuple[int, int]:
        """The newest LSN that was surely written by then, and the newest that may have been."""
        surely = [write.version for write in self.writes if write.answered_ms <= clock_ms]
        perhaps = [write.version for write in self.writes if write.sent_ms <= clock_ms]
        return max(surely, default=0), max(perhaps, default=0)

    def last_at_or_before(self, lsn: int) -> int:
        """The newest version that is no newer than ``lsn``."""
        versions = sorted(write.version for write in self.writes)
        position = bisect.bisect_right(versions, lsn)
        return versions[position - 1] if position else 0


def apply(state: State, write: Write) -> None:
    if write.value is None:
        state.pop(write.key, None)
    else:
        state[write.key] = write.value
