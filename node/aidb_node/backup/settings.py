"""What the second copy is told."""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.retention_plan import Policy


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Times in seconds, sizes in bytes. `objects` is a URL; empty = there is no second copy. `verify_every`,
    `drill_every`: 0 = never.
    """

    objects: str = ""
    archive_every: float = 1.0
    archive_lag_bytes: int = 1 << 30
    snapshot_every: float = 3600.0
    snapshot_keep: int = 24
    snapshot_keep_days: float = 7.0
    uploads: int = 4
    upload_rate: int = 64 << 20
    verify_every: float = 86_400.0
    drill_every: float = 604_800.0

    @property
    def policy(self) -> Policy:
        return Policy(self.snapshot_keep, self.snapshot_keep_days)
