"""What is said of the second copy: `GetStats.durability`, and from there the metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from aidb.durability.manifest import Manifest
from aidb.objects.counting import Counted
from aidb.v1 import storage_pb2 as pb
from aidb_node.backup.archive import Progress
from aidb_node.backup.checks import KINDS, Check, Kind
from aidb_node.backup.snapshots import Uploaded


@dataclass(slots=True)
class Status:
    """``lag_bytes`` is asked of the store, ``send`` takes the encoded message. Changed by several threads,
    each in fields of its own.
    """

    lag_bytes: Callable[[], int]
    send: Callable[[bytes], None]
    store: str = ""
    fenced: bool = False
    archive: Progress = field(default_factory=Progress)
    archive_error: str = ""
    running: Uploaded | None = None
    ended: int = 0
    snapshot_error: str = ""
    snapshot: Manifest | None = None
    uploaded: int = 0
    took_seconds: float = 0.0
    checks: dict[Kind, Check] = field(default_factory=lambda: {kind: Check() for kind in KINDS})
    counted: Callable[[], dict[str, Counted]] = dict
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self) -> None:
        """Says how things are now."""
        with self._lock:
            self.send(self._message().SerializeToString())

    def _message(self) -> pb.DurabilityStats:
        since = self.archive.behind_since
        running = self.running or Uploaded()
        message = pb.DurabilityStats(
            store=self.store,
            fenced=self.fenced,
            archived_lsn=self.archive.archived_lsn,
            archive_lag_ms=0 if since is None else int((time.monotonic() - since) * 1000),
            archive_lag_bytes=self.lag_bytes(),
            archive_error=self.archive_error,
            archive_objects=self.archive.objects,
            archive_bytes=self.archive.bytes,
            archive_gaps=self.archive.gaps,
            snapshot_running=self.running is not None,
            snapshot_bytes=running.total,
            snapshot_bytes_done=running.done,
            snapshots_ended=self.ended,
            snapshot_error=self.snapshot_error,
        )
        message.verify.CopyFrom(_check(self.checks["verify"]))
        message.drill.CopyFrom(_check(self.checks["drill"]))
        for name, one in self.counted().items():
            message.requests.add(
                operation=name, requests=one.requests, failures=one.failures, bytes=one.bytes
            )
        if self.snapshot is not None:
            message.snapshot = self.snapshot.label
            message.snapshot_lsn = self.snapshot.lsn
            message.snapshot_at_ms = self.snapshot.at_ms
            message.snapshot_uploaded = self.uploaded
        return message


def _check(check: Check) -> pb.CheckStats:
    return pb.CheckStats(**asdict(check))
