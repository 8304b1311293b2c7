"""The coordinator's part of the audit log: beside its other files, or among the lines of its log where those
of pods are collected. Nothing waits for the disk: see `lines`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from aidb.security.audit import Act, decode, encode, line
from aidb.security.tokens import Token, described
from aidb_coordinator.lines import Lines

CAPACITY = 10_000
# Whoever may not do a thing may try as often as he likes: so many refusals a minute are kept.
REFUSALS = 60
_MINUTE_MS = 60_000


class AuditLog:
    """The newest `CAPACITY` acts in the file ``path``, or all of them in its log, stderr, when that is None.
    Somebody takes what the ``lines`` have unwritten and writes it.
    """

    def __init__(
        self,
        path: Path | None,
        wall_ms: Callable[[], int],
        added: Callable[[], None] = lambda: None,
        stream: TextIO | None = None,
    ) -> None:
        self._wall_ms = wall_ms
        self._stream = stream
        self.lines: Lines[Act] | None = None
        if path is not None:
            self.lines = Lines(path, CAPACITY, encode=encode, decode=decode, added=added)
        self._minute = 0
        self._refusals = 0

    def add(self, who: str, act: str, asked: dict[str, Any], outcome: str) -> None:
        now = self._wall_ms()
        if outcome.startswith("refused") and not self._is_due(now):
            return
        made = Act(now, "coordinator", who, act, asked, outcome)
        if self.lines is None:
            print(line(made), file=self._stream or sys.stderr, flush=True)
        else:
            self.lines.add(made)

    def tokens_changed(self, before: Iterable[Token], now: Iterable[Token]) -> None:
        """However the file was changed: by `aidb-admin tokens`, a Secret, or by hand."""
        old, new = ({token.name: token for token in tokens} for tokens in (before, now))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            act = "TokenChanged" if name in old and name in new else "TokenAdded"
            if name not in new:
                act = "TokenRevoked"
            shown = new.get(name) or old[name]
            self.add("the file of tokens", act, described(shown), "done")

    def _is_due(self, now: int) -> bool:
        minute = now // _MINUTE_MS
        if minute != self._minute:
            self._minute, self._refusals = minute, 0
        self._refusals += 1
        return self._refusals <= REFUSALS
