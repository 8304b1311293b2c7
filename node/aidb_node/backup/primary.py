"""What the second copy needs of a primary: a part of the native `Server`."""

from __future__ import annotations

from typing import Protocol

# Records as the archive keeps them, the LSN before the first, the last LSN, the clocks (ms) of the first
# and the last, how many records, their bytes in the log.
Chunk = tuple[bytes, int, int, int, int, int, int]


class Primary(Protocol):
    """See `_native.Server`."""

    def log_after(self, lsn: int, max_bytes: int) -> Chunk | None: ...
    def archive_begins(self, lsn: int) -> None: ...
    def archived(self, lsn: int, bytes: int, epoch: int, first_sent_ns: int) -> None: ...
    def log_position(self) -> tuple[int, int, int]: ...
    def evidence_age_ms(self) -> int: ...
    def checkpoint(self, path: str) -> tuple[int, int, int, list[tuple[str, int]]]: ...
