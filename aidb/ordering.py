"""Scans in key order over all slots.

Slots scatter keys, so the first key of a range may be in any slot: whatever the limit, one pass reads every
entry in the range from the servers. A pass keeps the first entries in key order that fit into its memory; the
next pass begins after the last of them. Cost: (bytes in the range / 64 MiB, at least 1) passes, each over the
whole rest of the range. Keeping a cursor per slot instead would take one pass but 16384 open positions;
sorting on disk would write the application's data to places it does not know of.
"""

from __future__ import annotations

from dataclasses import replace

from aidb.commands import Emit, Operation
from aidb.interface import Entry
from aidb.routing import Routing
from aidb.scanning import ScanSpec, scan

PASS_BYTES = 64 << 20
_ENTRY_BYTES = 200  # of Python objects around an entry


class _First:
    """The first entries in key order that fit: by count and by bytes."""

    def __init__(self, reverse: bool, limit: int | None, max_bytes: int) -> None:
        self._sign = -1 if reverse else 1
        self._limit = limit
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pending: list[Entry] = []
        self.entries: list[Entry] = []
        self.dropped = False

    def add(self, entry: Entry) -> None:
        self._pending.append(entry)
        self._bytes += _size(entry)
        over = self._limit is not None and len(self.entries) + len(self._pending) > 2 * self._limit + 1000
        if over or self._bytes > 2 * self._max_bytes:
            self.trim()

    def trim(self) -> None:
        """Sort, and drop what does not fit; at least one entry stays."""
        self.entries += self._pending
        self._pending = []
        self.entries.sort(key=lambda entry: entry.key, reverse=self._sign < 0)
        kept = total = 0
        for entry in self.entries:
            total += _size(entry)
            if kept and (total > self._max_bytes or kept == self._limit):
                break
            kept += 1
        self.dropped |= kept < len(self.entries)
        del self.entries[kept:]
        self._bytes = sum(map(_size, self.entries))


def _size(entry: Entry) -> int:
    return len(entry.key) + len(entry.value) + _ENTRY_BYTES


def ordered_scan(routing: Routing, spec: ScanSpec, pass_bytes: int = PASS_BYTES) -> Operation[None]:
    """Emit the entries that ``spec`` asks for in key order (descending with ``reverse``)."""
    left = spec.limit
    rest = _beyond(replace(spec, after=None, limit=None), spec.after)
    while left is None or left > 0:
        first = _First(spec.reverse, left, pass_bytes)
        one_pass = scan(routing, rest)
        try:
            command = next(one_pass)
            while True:
                if isinstance(command, Emit):
                    first.add(command.entry)
                    command = next(one_pass)
                else:
                    command = one_pass.send((yield command))
        except StopIteration:
            first.trim()
        finally:
            one_pass.close()
        for entry in first.entries:
            yield Emit(entry)
        if not first.dropped:
            return
        rest = _beyond(rest, first.entries[-1].key)
        left = None if left is None else left - len(first.entries)


def _beyond(spec: ScanSpec, key: bytes | None) -> ScanSpec:
    """The part of ``spec`` that comes after ``key`` in key order."""
    if key is None:
        return spec
    if spec.reverse:
        return replace(spec, end=min(key, spec.end) if spec.end else key)
    return replace(spec, start=max(key + b"\0", spec.start))
