"""One attempt of a move at its target (M2-M7).

    pin      the source takes its snapshot; what it logs from there on is the tail
    wipe     whatever the slots hold here goes, in this log: an import begins with nothing
    copy     the snapshot, in key order
    tail     what was written since, in the order of the log, until little is missing
    compare  both sides sum up what they hold at one position of the tail
    archive  what has been imported; the tail goes on
    ready    the coordinator may fence; the tail goes on
    drain    the source says after which LSN there is nothing; all of it, the LSN raised above it, archived
    drained  the coordinator may commit

All of it happens in one thread, in this order, so what is imported needs no guard but that: a chunk or a
part of the tail is applied exactly once, after what comes before it. If the process dies, its shard's next
epoch aborts the attempt, and the next one begins with a wipe (m17-m19). What is shown of the slots, the
topology decides (m20).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from aidb.errors import AidbError, Busy, Stalled
from aidb.v1 import cluster_pb2 as pb
from aidb_node.moves.calls import Over, Source
from aidb_node.moves.document import Span, Wanted
from aidb_node.moves.pacing import Pace

# What may be missing when the slots are fenced: as old as this at most, in ms.
READY_BEHIND_MS = 100
_ARCHIVE_WAIT = 0.5
# How long the source may wait for something new to be logged: while there is time, and once a fence may come.
_TAIL_WAIT_MS = 100
_READY_WAIT_MS = 10
_RETRY = 0.05


class Pinned(Protocol):
    """See `_native.PinnedImport`."""

    def digest(self, live_after_ms: int) -> tuple[int, int]: ...


class Native(Protocol):
    """The part of the native `Server` that an import needs."""

    def wipe_slots(self, spans: list[Span]) -> int: ...
    def import_record(self, record: bytes, checksum: int) -> int: ...
    def gain_slots(self, spans: list[Span], least_lsn: int, least_clock_ms: int) -> int: ...
    def pin_slots(self, spans: list[Span]) -> Pinned: ...
    def log_position(self) -> tuple[int, int, int]: ...
    def await_archived(self, lsn: int, timeout: float) -> bool: ...


class ImportFailed(Exception):
    """This attempt cannot go on; another may."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the coordinator is told, as often as needed."""

    progress: pb.MoveProgress = field(default_factory=pb.MoveProgress)
    ready: bool = False
    final_lsn: int = 0
    since_lsn: int = 0
    failed: str = ""


@dataclass(slots=True)
class _Position:
    """In the source's log."""

    lsn: int = 0
    behind_ms: int = 0
    final_lsn: int = 0
    clock_ms: int = 0


class Import:
    """`say` is called whenever there is something new to tell; `run` goes on until the attempt is over."""

    def __init__(
        self,
        native: Native,
        source: Source,
        wanted: Wanted,
        version: int,
        pace: Pace,
        say: Callable[[Said], None],
        over: threading.Event,
    ) -> None:
        self._native = native
        self._source = source
        self._spans = list(wanted.spans)
        self._pace = pace
        self._say = say
        self._over = over
        self._version = version
        self._said = Said()
        self._at = _Position()
        self._began = time.monotonic()

    @property
    def progress(self) -> pb.MoveProgress:
        """As was told last."""
        return self._said.progress

    def learn(self, version: int) -> None:
        """The topology has this attempt at `version`. Called by another thread."""
        self._version = max(self._version, version)

    def run(self) -> None:
        """Returns when the attempt is over, or cannot go on and the coordinator was told so."""
        try:
            self._copy()
            self._catch_up()
            self._compare()
            self._archive()
            self._drain()
        except Over:
            return
        except ImportFailed as failed:
            self._tell("failed", failed=str(failed))
        except AidbError as error:
            self._tell("failed", failed=f"the target: {error}")

    def _copy(self) -> None:
        pinned = self._source.pin(self._version, verify=False)
        self._at = _Position(pinned.lsn, clock_ms=pinned.clock_ms)
        self._local(lambda: self._native.wipe_slots(self._spans))
        self._said.progress.bytes_total = pinned.bytes
        self._tell("copying")
        key = b""
        while True:
            chunk = self._source.copy(self._version, key)
            self._take(chunk.record, chunk.checksum)
            self._tell("copying")
            key = chunk.last_key
            if not key:
                return

    def _catch_up(self) -> None:
        """The tail, until little is missing."""
        self._tell("catching up")
        while self._follow() > READY_BEHIND_MS:
            self._tell("catching up")

    def _compare(self) -> None:
        """M5. Raises ImportFailed when the two sides differ."""
        pinned = self._source.pin(self._version, verify=True)
        self._tell("comparing")
        while self._at.lsn < pinned.lsn:
            self._follow(pinned.lsn)
        if self._at.lsn != pinned.lsn:
            raise ImportFailed(f"the tail went to lsn {self._at.lsn}, beyond the snapshot at {pinned.lsn}")
        here = self._native.pin_slots(self._spans)
        clock_ms = max(pinned.clock_ms, self._native.log_position()[2])
        theirs = self._source.digest(self._version, pinned.lsn, clock_ms)
        ours = here.digest(clock_ms)
        if ours != (theirs.entries, theirs.sum):
            raise ImportFailed(
                f"at lsn {pinned.lsn} the source has {theirs.entries} entries, sum {theirs.sum:016x}, the "
                f"target {ours[0]}, sum {ours[1]:016x}: they differ"
            )

    def _archive(self) -> None:
        """What has been imported so far: the pause waits for the last of the tail only, and a store that does
        not answer is met before the fence.
        """
        self._tell("archiving")
        while not self._archived(self._native.log_position()[1]):
            self._follow()
        self._catch_up()

    def _drain(self) -> None:
        """Ready, until the source has fenced; then M7."""
        while not self._at.final_lsn:
            behind_ms = self._follow(wait_ms=_READY_WAIT_MS)
            self._tell("ready", ready=behind_ms <= READY_BEHIND_MS, final_lsn=self._at.lsn)
        self._tell("draining")
        while self._at.lsn < self._at.final_lsn:
            self._follow()
        final = self._at.final_lsn
        since_lsn = self._local(lambda: self._native.gain_slots(self._spans, final + 1, self._at.clock_ms))
        while not self._archived(since_lsn):
            self._check()
        self._tell("drained", final_lsn=final, since_lsn=since_lsn)

    def _archived(self, lsn: int) -> bool:
        """Waits a little for it."""
        try:
            return self._native.await_archived(lsn, _ARCHIVE_WAIT)
        except Busy:
            self._over.wait(_RETRY)
            return False

    def _follow(self, through_lsn: int = 0, wait_ms: int = _TAIL_WAIT_MS) -> int:
        """The next part of the tail; how old what is missing now is, in ms."""
        part = self._source.tail(self._version, self._at.lsn, through_lsn, wait_ms)
        self._take(part.record, part.checksum)
        # What was missing when it was answered has been taken, unless there was more than one part.
        behind_ms = (
            part.behind_ms if part.last_lsn < min(part.synced_lsn, through_lsn or part.synced_lsn) else 0
        )
        self._at = _Position(part.last_lsn, behind_ms, part.final_lsn, part.clock_ms)
        return behind_ms

    def _take(self, record: bytes, checksum: int) -> None:
        self._check()
        if record:
            entries = self._local(lambda: self._native.import_record(record, checksum))
            self._said.progress.entries += entries
            self._said.progress.bytes += len(record)
            self._pace.spend(len(record), self._over)

    def _local(self, work: Callable[[], int]) -> int:
        """Does it as soon as the store can; what it cannot do is not half done. Raises AidbError, Over."""
        while True:
            self._check()
            try:
                return work()
            except (Busy, Stalled):
                self._over.wait(_RETRY)

    def _check(self) -> None:
        if self._over.is_set():
            raise Over

    def _tell(
        self, step: str, *, ready: bool = False, final_lsn: int = 0, since_lsn: int = 0, failed: str = ""
    ) -> None:
        progress = self._said.progress
        progress.step = step
        progress.behind_ms = self._at.behind_ms
        spent = max(time.monotonic() - self._began, 0.001)
        progress.bytes_per_second = int(progress.bytes / spent)
        self._said = replace(self._said, ready=ready, final_lsn=final_lsn, since_lsn=since_lsn, failed=failed)
        told = pb.MoveProgress()
        told.CopyFrom(progress)
        self._say(replace(self._said, progress=told))
