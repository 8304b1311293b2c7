"""The rules of the election. Pure: no clock, no I/O.

Times are seconds of this process's own clock; times in the record are for people. A write is of exactly the
version that was seen, so a candidate whose write succeeds has seen the holder's newest write, and how long it
stood.

- The holder leads until `sent` + duration less a twentieth (the allowance for clock rates, as a node's lease,
  D1): `sent` is when the request of its last write that was answered was first sent.
- A write without an answer renews nothing. It may have been done, and the version that it was of be gone: the
  record is read. Finding oneself in it renews nothing either; the next write does.
- A record is somebody else's unless it names this very process: one that restarts under its pod's name waits
  as any other.
- Who gives up stops leading first, and then empties the record: the next one need not wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

DRIFT = 1 / 20


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds. `duration` of the Lease; it is renewed each `renew`; after a failure there is a `pause`."""

    duration: int
    renew: float
    pause: float

    @classmethod
    def of(cls, duration: int) -> Rules:
        return cls(duration, renew=duration / 8, pause=duration / 30)


@dataclass(frozen=True, slots=True)
class Record:
    """`holder` is empty when it was given up. `process` of the holder is random. `transitions`: holders so
    far. `revision` names the stored version; empty: there is none yet.
    """

    holder: str = ""
    process: str = ""
    duration: float = 0.0
    transitions: int = 0
    acquired_ms: int = 0
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """Look at what is stored."""


@dataclass(frozen=True, slots=True)
class Write:
    """Replace exactly the version `record.revision` by it."""

    record: Record


@dataclass(frozen=True, slots=True)
class Follow:
    """See every change, until then."""

    until: float


@dataclass(frozen=True, slots=True)
class Rest:
    until: float


Step = Read | Write | Follow | Rest


@dataclass(frozen=True, slots=True)
class Election:
    """As one candidate sees it. `seen`: the newest version that it knows of, first seen at `since`. `looks`:
    it has to look again before it does anything.
    """

    holder: str
    process: str
    rules: Rules
    seen: Record = Record()
    since: float = -math.inf
    looks: bool = True
    leads_until: float = -math.inf
    rests_until: float = -math.inf

    def leads(self, now: float) -> bool:
        return now < self.leads_until

    def next(self, now: float, now_ms: int) -> Step:
        """`now_ms`: the wall clock, for the record."""
        if now < self.rests_until:
            return Rest(self.rests_until)
        if self.looks:
            return Read()
        seen = self.seen
        if not self._is_mine(seen) and seen.holder and now < self.since + seen.duration:
            return Follow(self.since + seen.duration)
        return Write(self._mine(seen, now_ms))

    def observed(self, record: Record, at: float) -> Election:
        """The stored version, as an answer said that came at `at`."""
        if not record.revision and self.seen.holder and not self._is_mine(self.seen):
            # Somebody deleted it, and its holder does not know yet.
            record = replace(self.seen, revision="")
        known = self.since > -math.inf and self.seen.revision == record.revision
        since = self.since if known else at
        after = replace(self, seen=record, since=since, looks=False, rests_until=-math.inf)
        return after if self._is_mine(record) else replace(after, leads_until=-math.inf)

    def wrote(self, record: Record, sent: float, at: float) -> Election:
        """The write that was first sent at `sent` was answered: it is stored as `record`."""
        until = sent + self.rules.duration * (1 - DRIFT)
        return replace(
            self,
            seen=record,
            since=at,
            looks=False,
            leads_until=max(until, self.leads_until),
            rests_until=sent + self.rules.renew,
        )

    def conflicted(self) -> Election:
        """Another version is stored than was seen: nothing was written."""
        return replace(self, looks=True)

    def unanswered(self, now: float) -> Election:
        """Nobody knows whether the write, or the read, was done."""
        return replace(self, looks=True, rests_until=now + self.rules.pause)

    def given_up(self) -> tuple[Election, Record | None]:
        """Leads no more; the record to write then, if it is this process's."""
        seen = self.seen
        after = replace(self, leads_until=-math.inf)
        if not self._is_mine(seen):
            return after, None
        return after, replace(seen, holder="", process="", duration=1)

    def _is_mine(self, record: Record) -> bool:
        return record.holder != "" and record.process == self.process

    def _mine(self, seen: Record, now_ms: int) -> Record:
        mine = self._is_mine(seen)
        return Record(
            holder=self.holder,
            process=self.process,
            duration=self.rules.duration,
            transitions=seen.transitions if mine or not seen.revision else seen.transitions + 1,
            acquired_ms=seen.acquired_ms if mine else now_ms,
            revision=seen.revision,
        )
