"""Which epochs a shard's history consists of, and how much of each.

Every epoch but the first continues another one at a cut. What that one's log holds beyond the cut was lost
by a takeover, or given up by a restore to an earlier point: it is not history. So history is found from
its end backwards, never by "the newest date" (D9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aidb.durability.envelope import Malformed
from aidb.durability.piece import Start

END = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Branch:
    """History has the log of ``epoch`` through the LSN ``cut`` (inclusive); `END`: all of it."""

    epoch: int
    cut: int


def lineage(newest: int, start_of: Callable[[int], Start | None]) -> Iterator[Branch]:
    """From the ``newest`` epoch backwards. ``start_of`` None: nobody ever wrote in that epoch, so that the
    one before it is as good.

    Raises:
        Malformed: an epoch continues one that is not before it.
    """
    epoch, cut = newest, END
    while epoch > 0:
        yield Branch(epoch, cut)
        start = start_of(epoch)
        if start is None:
            epoch -= 1
            continue
        if start.parent >= epoch:
            raise Malformed(f"epoch {epoch} says that it continues epoch {start.parent}")
        epoch, cut = start.parent, min(cut, start.cut)
