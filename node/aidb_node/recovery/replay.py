"""Catches up with the log: piece after piece, by the chain of predecessors, and no further than is whole.

Pieces are read, checked and decoded ahead by a few threads and applied in order; records are never looked
into here. Whatever is missing or damaged ends the replay, and what lies behind it is looked at only to say
how much is lost.

The log of the store is spared: the archive is one until the store is flushed, and before that nobody takes
it for whole (see `recover`). But the newest records are logged, for the request ids in them (V6).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from aidb.durability.catalog import Catalog
from aidb.durability.lineage import END
from aidb.durability.loss import Loss
from aidb.durability.piece import Piece, Seal
from aidb.durability.restore_plan import Step, Target
from aidb.errors import Corruption
from aidb.objects.errors import Damaged, NoSuchKey
from aidb_node import _native
from aidb_node.failure import LogGap

# Older records have no request id that may still be asked for: ids are kept for 60 s (V6), and clocks
# differ, or are set back a little.
LOGGED_MS = 70_000

_AHEAD = 6
_READERS = 4
# Pieces behind damage that are looked at to say what is lost.
_LOOK_BEHIND = 10_000


@dataclass(frozen=True, slots=True)
class _Read:
    """``records`` None: of a piece that is not needed."""

    found: Piece | Seal
    records: _native.LogRecords | None


@dataclass(slots=True)
class Replayed:
    """``reached``: the end that was asked for lies behind or here."""

    lsn: int
    clock_ms: int
    records: int = 0
    pieces: int = 0
    bytes: int = 0
    reached: bool = False
    loss: Loss | None = None


def replay(
    store: _native.Store,
    catalog: Catalog,
    steps: Sequence[Step],
    target: Target,
    seen: Callable[[Replayed], None],
) -> Replayed:
    """Raises `ObjectError` when the store is away; damage is told in what is returned."""
    _, lsn, clock_ms = store.position()
    done = Replayed(lsn, clock_ms)
    done.reached = lsn >= target.lsn
    with ThreadPoolExecutor(_READERS, thread_name_prefix="replay") as pool:
        for position, (step, reading) in enumerate(_read_ahead(pool, catalog, steps, lsn)):
            if done.reached:
                reading.cancel()
                continue
            try:
                if _apply(store, step, reading.result(), target, done):
                    done.reached = True
            except (Damaged, NoSuchKey, Corruption, LogGap) as error:
                done.loss = _loss(catalog, steps[position:], done, " ".join(str(error).split()))
                break
            seen(done)
    return done


def _read_ahead(
    pool: ThreadPoolExecutor, catalog: Catalog, steps: Sequence[Step], lsn: int
) -> Iterator[tuple[Step, Future[_Read]]]:
    under_way: deque[tuple[Step, Future[_Read]]] = deque()
    rest = iter(steps)
    try:
        while True:
            while len(under_way) < _AHEAD and (step := next(rest, None)) is not None:
                under_way.append((step, pool.submit(_read, catalog, step, lsn)))
            if not under_way:
                return
            yield under_way.popleft()
    finally:
        for _, reading in under_way:
            reading.cancel()


def _read(catalog: Catalog, step: Step, lsn: int) -> _Read:
    """``lsn``: what the store holds. Raises ObjectError, Corruption."""
    found = catalog.piece(step.epoch, step.sequence)
    if isinstance(found, Seal) or found.last_lsn <= lsn:
        return _Read(found, None)
    return _Read(found, _native.LogRecords(found.body))


def _apply(store: _native.Store, step: Step, read: _Read, target: Target, done: Replayed) -> bool:
    """Whether the target is reached. Raises LogGap, Corruption."""
    piece, records = read.found, read.records
    if isinstance(piece, Seal) or records is None or piece.last_lsn <= done.lsn:
        return False
    if done.lsn >= step.through:
        # The rest of this epoch is not part of history.
        return done.lsn >= target.lsn
    if piece.previous_lsn > done.lsn:
        lost = "log was lost before it was archived" if piece.gap else "a piece before it is missing"
        raise LogGap(
            f"piece e{step.epoch}/log/{step.sequence} goes on at lsn {piece.previous_lsn}: {lost}",
            done.lsn,
            piece.previous_lsn,
        )
    through = _before_deletions(records, step.through, target, done.lsn)
    if through <= done.lsn:
        return True
    logged_from_ms = max(0, time.time_ns() // 1_000_000 - LOGGED_MS)
    done.lsn, done.clock_ms, applied, ended = store.apply_log(
        records, through, target.clock_ms, logged_from_ms
    )
    done.records += applied
    done.pieces += 1
    done.bytes += len(piece.body)
    if through < step.through:
        return True
    if target.clock_ms != END and done.lsn < step.through and piece.last_clock_ms > target.clock_ms:
        return True
    return ended and step.through == target.lsn


def _before_deletions(records: _native.LogRecords, through: int, target: Target, held: int) -> int:
    """``through``, or the LSN before the first deletion of slots that the shard has to keep (D9)."""
    for lsn, first, last in records.deletions() if target.owned else ():
        if held < lsn <= through and target.gives_up(lsn, first, last):
            return lsn - 1
    return through


def _loss(catalog: Catalog, steps: Sequence[Step], done: Replayed, reason: str) -> Loss:
    """From the newest piece behind the damage that can be read."""
    for step in list(reversed(steps))[:_LOOK_BEHIND]:
        try:
            piece = catalog.piece(step.epoch, step.sequence)
        except (Damaged, NoSuchKey):
            continue
        if isinstance(piece, Piece) and piece.last_lsn > done.lsn:
            return Loss(
                reason, done.lsn, done.clock_ms, min(piece.last_lsn, step.through), piece.last_clock_ms
            )
    return Loss(reason, done.lsn, done.clock_ms, None, None)
