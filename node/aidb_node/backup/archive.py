"""The archive of one epoch's log: piece after piece, in order, one create under way at a time.

A piece is offered until the store has it. After a lost answer the name may be taken by the very same
piece: that completes the archive, but says nothing of when, so only a create that was answered with
success is evidence of ownership, from when it was first sent (D1, t18, t19). A name taken by anything else
ends the archive of this epoch, and the primary: a seal says that another one has taken over.

The log that is not archived stays on the disk (D7). If some was lost all the same, the next piece says
that there is a gap, and a snapshot is asked for, from which a new chain begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import Superseded, claim_epoch, seal_before
from aidb.durability.identity import Place
from aidb.durability.piece import Piece, Seal, Start
from aidb.durability.stamp import ensure_stamp
from aidb.objects.errors import Exists
from aidb_node.backup.primary import Chunk, Primary
from aidb_node.failure import LogGap
from aidb_node.recovery.origin import Origin

PIECE_BYTES = 8 << 20


@dataclass(slots=True)
class Progress:
    """What a status shows. ``behind_since`` is of a monotonic clock, None while nothing waits."""

    archived_lsn: int = 0
    objects: int = 0
    bytes: int = 0
    gaps: int = 0
    behind_since: float | None = None


class Archive:
    """Of one epoch. `open`, then `step` again and again; each may raise `ObjectError`, and is then called
    again.

    ``id`` is the disk's: by it this epoch's claim and pieces are recognised as one's own. ``origin``: of a
    store that was restored.
    """

    def __init__(
        self,
        catalog: Catalog,
        primary: Primary,
        *,
        epoch: int,
        id: str,
        owner: str,
        lease_ms: int,
        on_gap: Callable[[str], None],
        on_notice: Callable[[str], None],
        origin: Origin | None = None,
    ) -> None:
        self._catalog = catalog
        self._primary = primary
        self._epoch = epoch
        self._id = id
        self._owner = owner
        self._lease_ms = lease_ms
        self._on_gap = on_gap
        self._on_notice = on_notice
        self._origin = origin
        self._sequence = 0
        self._lsn = 0
        self._start: Start | None = None
        self._gap = False
        self._pending: _Pending | None = None
        self._read_at = 0.0
        self.is_open = False
        self.has_more = False
        self.progress = Progress()

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, sequence): everything that is not archived yet will be in pieces from here on."""
        return self._epoch, self._sequence

    def open(self) -> None:
        """Claims the epoch, seals the logs before it, and finds where the archive ends (D10).

        Raises:
            Superseded: the epoch is another's.
            ObjectError
        """
        catalog = self._catalog
        ensure_stamp(catalog.store, catalog.names.cluster_uid)
        claim_epoch(catalog, self._epoch, self._id, self._owner)
        seal_before(catalog, self._epoch, self._id)
        end = catalog.log_end(self._epoch)
        if end is None:
            self._begin()
        else:
            self._resume(end)
        self.progress.archived_lsn = self._lsn
        self._primary.archive_begins(self._lsn)
        self.is_open = True

    def step(self) -> bool:
        """Archives one piece if there is something to archive; whether there was. ``has_more`` says whether
        it left something that need not wait for company.

        Raises:
            Superseded: the log of this epoch was sealed.
            ObjectError: to be tried again.
        """
        if self._pending is None:
            self._read_at = time.monotonic()
            self._pending = self._next_piece()
        if self._pending is None:
            self.progress.behind_since = None
            self.has_more = False
            return False
        if self.progress.behind_since is None:
            self.progress.behind_since = self._read_at
        self.has_more = self._pending.log_bytes >= PIECE_BYTES // 2
        self._send(self._pending)
        if not self.has_more:
            # What waits now, if anything does, was written after this piece was read.
            self.progress.behind_since = self._read_at
        return True

    def release(self, by_epoch: int) -> None:
        """D6: seals the log, when all of it is archived and nobody is let in any more: whoever finds that
        seal need not wait. May be called again after an error.

        Raises:
            Superseded: it was sealed by another.
            ObjectError: to be tried again.
        """
        place = Place(self._catalog.names.cluster_uid, self._catalog.names.shard, self._epoch, self._sequence)
        _, _, clock_ms = self._primary.log_position()
        seal = Seal(place, self._id, by_epoch, time.time_ns() // 1_000_000, max(1, clock_ms))
        try:
            self._catalog.store.create(self._catalog.names.log(self._epoch, self._sequence), seal.encode())
        except Exists:
            found = self._catalog.piece(self._epoch, self._sequence)
            if not isinstance(found, Seal) or found.id != self._id:
                raise Superseded(f"the log of epoch {self._epoch} was {_what(found)}") from None

    def _resume(self, sequence: int) -> None:
        """This process, or one before it on the same disk, was in this epoch already."""
        last = self._catalog.piece(self._epoch, sequence)
        if isinstance(last, Seal) or last.id != self._id:
            raise Superseded(f"the log of epoch {self._epoch} was {_what(last)}")
        self._sequence, self._lsn = sequence + 1, last.last_lsn

    def _begin(self) -> None:
        parent = 0
        for epoch in reversed(self._catalog.claimed()):
            if epoch < self._epoch and (last := self._catalog.last_piece(epoch)) is not None:
                parent, self._lsn = epoch, last.last_lsn
                break
        if self._origin is not None and parent <= self._origin.before:
            parent = self._origin.epoch
            self._fork(self._origin.lsn)
        else:
            try:
                self._primary.log_after(self._lsn, 1)
            except LogGap as gap:
                if gap.oldest < self._lsn:
                    self._fork(gap.oldest)
        self._sequence = 0
        self._start = Start(parent, self._lsn)

    def _fork(self, lsn: int) -> None:
        """The disk was restored to another point: an earlier one, so that what the archive holds beyond it is
        not history any more; or that of a snapshot which shows more than was archived.
        """
        if lsn < self._lsn:
            self._on_notice(f"the archive goes to lsn {self._lsn}, this disk to {lsn}: the rest was given up")
        self._lsn = lsn

    def _next_piece(self) -> _Pending | None:
        try:
            chunk = self._primary.log_after(self._lsn, PIECE_BYTES)
        except LogGap as gap:
            self._lose(gap)
            chunk = self._primary.log_after(self._lsn, PIECE_BYTES)
        if chunk is None and not self._needs_proof():
            return None
        place = Place(self._catalog.names.cluster_uid, self._catalog.names.shard, self._epoch, self._sequence)
        piece = self._piece_of(place, chunk)
        return _Pending(piece, piece.encode(), 0 if chunk is None else chunk[6])

    def _piece_of(self, place: Place, chunk: Chunk | None) -> Piece:
        start = self._start if self._sequence == 0 else None
        if chunk is None:
            return Piece(place, self._id, self._lsn, self._lsn, gap=self._gap, start=start)
        body, previous_lsn, last_lsn, first_clock, last_clock, records, _ = chunk
        return Piece(
            place, self._id, previous_lsn, last_lsn, first_clock, last_clock, records, self._gap, start, body
        )

    def _needs_proof(self) -> bool:
        """D1: pieces without records are made only while no fresh lease is held."""
        return self._catalog.store.fenced and self._primary.evidence_age_ms() > self._lease_ms // 2

    def _lose(self, gap: LogGap) -> None:
        self._on_gap(f"the log after lsn {gap.asked} is lost, it goes on at {gap.oldest}")
        self.progress.gaps += 1
        self._gap = True
        self._lsn = gap.oldest

    def _send(self, pending: _Pending) -> None:
        if pending.first_sent_ns == 0:
            pending.first_sent_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        key = self._catalog.names.log(self._epoch, self._sequence)
        evidence = pending.first_sent_ns if self._catalog.store.fenced else 0
        try:
            self._catalog.store.create(key, pending.body)
        except Exists:
            found = self._catalog.piece(self._epoch, self._sequence)
            if found != pending.piece:
                raise Superseded(f"the log of epoch {self._epoch} was {_what(found)}") from None
            evidence = 0
        self._check_claim()
        self._sequence += 1
        self._lsn = pending.piece.last_lsn
        self._gap = False
        self._pending = None
        self.progress.archived_lsn = self._lsn
        self.progress.objects += 1
        self.progress.bytes += len(pending.body)
        self._primary.archived(self._lsn, pending.log_bytes, self._epoch, evidence)

    def _check_claim(self) -> None:
        """D4: where a second create is not refused, what was created may be on top of a seal, or below one.
        Who takes over claims first and looks at the log afterwards: without a later claim, it will find this
        piece.
        """
        if self._catalog.store.fenced:
            return
        if (newest := self._catalog.newest_claim()) > self._epoch:
            raise Superseded(f"epoch {newest} was claimed, epoch {self._epoch} is over")


@dataclass(slots=True)
class _Pending:
    """A piece on its way: the same bytes at every attempt."""

    piece: Piece
    body: bytes
    log_bytes: int
    first_sent_ns: int = 0


def _what(found: Piece | Seal) -> str:
    if isinstance(found, Seal):
        return f"sealed for epoch {found.by_epoch} by {found.id}"
    return f"continued by another process ({found.id})"
