"""What happened in the cluster, for people and alerts: bounded, numbered, kept over restarts.

Reasons are stable CamelCase words. The log is a JSON line per event in `events.jsonl`; it is for reading,
so it is not synced: a crash of the machine may lose the last ones, and a line that a crash cut short is
skipped.
A `...Failed` alert stays open until its `...Recovered`, over restarts of the coordinator too.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path

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
    """The newest `capacity` events. `add` only queues the line, so that no decision waits for a disk;
    somebody takes what is `unwritten` and calls `write`, from one thread at a time.
    """

    def __init__(
        self,
        path: Path,
        wall_ms: Callable[[], int],
        capacity: int = CAPACITY,
        added: Callable[[], None] = lambda: None,
    ) -> None:
        """`added` is called after each `add`: there is something to write."""
        self._path = path
        self._wall_ms = wall_ms
        self._capacity = capacity
        self._added = added
        self._events: deque[Event] = deque(_read(path), maxlen=capacity)
        self._unwritten: deque[Event] = deque(maxlen=capacity)
        self._lines = len(self._events)
        self._next = self._events[-1].seq + 1 if self._events else 1

    def add(self, severity: Severity, reason: str, subject: str, message: str) -> None:
        event = Event(self._next, self._wall_ms(), severity, reason, subject, message)
        self._next += 1
        self._events.append(event)
        self._unwritten.append(event)
        self._added()
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

    def unwritten(self) -> list[Event]:
        """Takes the events that `write` has not been given yet."""
        batch = list(self._unwritten)
        self._unwritten.clear()
        return batch

    def write(self, batch: list[Event]) -> None:
        """Appends to the file; when it has twice the capacity, keeps the newest half. Raises OSError."""
        # A crash may have left half a line: a line of its own for each batch keeps the damage to that one.
        with self._path.open("a") as file:
            file.write("" if _ends_whole(self._path) else "\n")
            file.writelines(map(_line, batch))
        self._lines += len(batch)
        if self._lines > 2 * self._capacity:
            kept = _read(self._path)[-self._capacity :]
            new = self._path.with_suffix(".new")
            new.write_text("".join(map(_line, kept)))
            new.replace(self._path)
            self._lines = len(kept)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _line(event: Event) -> str:
    return json.dumps(asdict(event), separators=(",", ":")) + "\n"


def _read(path: Path) -> list[Event]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        try:
            value = json.loads(line)
            events.append(Event(**{**value, "severity": Severity(value["severity"])}))
        except (ValueError, TypeError, KeyError, RecursionError):
            log.warning("skipped a damaged line of %s", path)
    return events
