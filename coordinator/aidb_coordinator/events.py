"""What happened in the cluster, for people and alerts: bounded, numbered, kept over restarts.

Reasons are stable CamelCase words. The log is a JSON line per event in `events.jsonl`, see `lines`.
A `...Failed` alert stays open until its `...Recovered`, over restarts of the coordinator too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import Any

from aidb_coordinator.lines import Lines

log = logging.getLogger("aidb.coordinator")

CAPACITY = 10_000


class Severity(IntEnum):
    """Numbers of aidb.v1.Event.Severity."""

    NORMAL = 0
    WARNING = 1
    ALERT = 2


_LEVELS = {Severity.NORMAL: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ALERT: logging.ERROR}


@dataclass(frozen=True, slots=True)
class Event:
    """`subject` is a member, or a shard as in shard-0. `unix_ms` is the wall clock."""

    seq: int
    unix_ms: int
    severity: Severity
    reason: str
    subject: str
    message: str


class EventLog:
    """The newest `capacity` events. Somebody takes what is `unwritten` and calls `write`."""

    def __init__(
        self,
        path: Path,
        wall_ms: Callable[[], int],
        capacity: int = CAPACITY,
        added: Callable[[], None] = lambda: None,
    ) -> None:
        """`added` is called after each `add`: there is something to write."""
        self._wall_ms = wall_ms
        self._lines = Lines(path, capacity, encode=asdict, decode=_decode, added=added)
        self._events = self._lines.items
        self._next = self._events[-1].seq + 1 if self._events else 1
        self.unwritten = self._lines.unwritten
        self.write = self._lines.write

    def add(self, severity: Severity, reason: str, subject: str, message: str) -> None:
        event = Event(self._next, self._wall_ms(), severity, reason, subject, message)
        self._next += 1
        self._lines.add(event)
        log.log(_LEVELS[severity], "%s subject=%s seq=%d %s", reason, subject, event.seq, message)

    def after(self, seq: int, limit: int) -> list[Event]:
        """The first `limit` events with a higher number, oldest first."""
        return list(islice((event for event in self._events if event.seq > seq), limit))

    def open_failures(self) -> set[str]:
        """Subjects whose last `...Failed` has no `...Recovered` yet."""
        failed: set[str] = set()
        for event in self._events:
            if event.reason.endswith("Failed"):
                failed.add(event.subject)
            elif event.reason.endswith("Recovered"):
                failed.discard(event.subject)
        return failed

    def left(self) -> set[str]:
        """Subjects of which the last that was heard is that they stopped cleanly."""
        last = {event.subject: event.reason for event in self._events}
        return {subject for subject, reason in last.items() if reason.endswith("Left")}


def _decode(value: dict[str, Any]) -> Event:
    return Event(
        int(value["seq"]),
        int(value["unix_ms"]),
        Severity(value["severity"]),
        str(value["reason"]),
        str(value["subject"]),
        str(value["message"]),
    )
