"""A local cluster of real processes below one data directory: what `aidb up` and `aidb down` work with.

`plan` decides and does no I/O; `supervisor` is the daemon that starts and restarts the programs; `cluster`
is what commands use. The process table is the only record of what runs (see `processes`), so that a
supervisor that was killed leaves nothing stale behind. Linux only: it reads /proc.
"""

from __future__ import annotations

from aidb.local.cluster import LocalCluster
from aidb.local.description import Description, Wish
from aidb.local.refusal import Refused

__all__ = ["Description", "LocalCluster", "Refused", "Wish"]
