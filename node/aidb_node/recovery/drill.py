"""A drill: the newest state, restored from the object store alone, is compared with the source at one LSN.

The source is a checkpoint: hard links of the primary's tables at one LSN, which is as exact as a state can
be had. The copy is restored to just that LSN, into a directory that holds nothing, so that every table and
every piece of the log comes from the store. Both are opened and compared entry by entry.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aidb.durability.catalog import Catalog
from aidb.durability.loss import Loss, Lossy
from aidb.durability.restore_plan import Target
from aidb.objects.errors import Unusable
from aidb_node.identity import STORE
from aidb_node.recovery.choice import choose
from aidb_node.recovery.comparing import Compared, compare
from aidb_node.recovery.recover import Seen, recover

# What a restore writes beyond its tables: the log's records on their way, and what compactions hold twice.
_ROOM = 1.25
_SPARE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Drilled:
    """``loss``: the archive does not give the state back; then nothing was compared. Seconds."""

    lsn: int
    snapshot: str
    downloaded_bytes: int
    log_bytes: int
    compared: Compared
    loss: Loss | None
    restore_seconds: float
    compare_seconds: float

    @property
    def problem(self) -> str:
        """What is wrong, or nothing."""
        if self.loss is not None:
            return str(Lossy(self.loss))
        if not self.compared.differing:
            return ""
        first = self.compared.differences[0]
        return (
            f"{self.compared.differing} keys differ from the source at lsn {self.lsn} "
            f"(the first: {first.key[:80]!r} {first.what})"
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def drill(
    catalog: Catalog,
    source: Path,
    lsn: int,
    scratch: Path,
    *,
    at_once: int = 4,
    seen: Seen = lambda _what, _done, _total: None,
) -> Drilled:
    """``source``: the directory of a checkpoint at ``lsn``, through which the log is archived. ``scratch``
    is made, and removed in the end. ``seen`` may raise to end the drill.

    Raises:
        Unusable: there is no room in ``scratch``.
        ObjectError: the store is away, or what it holds is damaged.
        AidbError, OSError: of the disk.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _check_room(choose(catalog, Target(lsn=lsn)).size, scratch)
        begin = time.monotonic()
        try:
            report = recover(catalog, scratch, Target(lsn=lsn), at_once=at_once, seen=seen)
        except Lossy as lossy:
            seconds = time.monotonic() - begin
            return Drilled(lsn, "", 0, 0, Compared(), lossy.loss, seconds, 0.0)
        restored = time.monotonic()
        compared = compare(source, scratch / STORE, _teller(seen))
        return Drilled(
            lsn=lsn,
            snapshot=report.snapshot,
            downloaded_bytes=report.downloaded_bytes,
            log_bytes=report.log_bytes,
            compared=compared,
            loss=None,
            restore_seconds=restored - begin,
            compare_seconds=time.monotonic() - restored,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _teller(seen: Seen) -> Callable[[Compared], None]:
    return lambda now: seen("entries", now.entries, 0)


def _check_room(size: int, scratch: Path) -> None:
    free, needed = shutil.disk_usage(scratch).free, int(size * _ROOM) + _SPARE_BYTES
    if free < needed:
        raise Unusable(
            f"a drill needs {needed >> 20} MiB in {scratch}, {free >> 20} MiB are free: "
            "free some space, or choose another directory"
        )
