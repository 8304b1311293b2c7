"""Where the topology is kept. One writer at a time, and every write is a compare-and-swap.

`store.file` keeps it in a directory (local mode), `store.kubernetes` in a ConfigMap. A revision names one
stored state and means nothing else: a counter in a file, a random word in a ConfigMap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aidb_coordinator.topology import Topology


class StoreError(Exception):
    """The store cannot be used as asked; nothing was changed. The message says what, where, and what to
    do.
    """


class Conflict(StoreError):
    """Somebody else has written since: the swap did not happen."""


class LeadershipEnded(Conflict):
    """Another coordinator may lead by now: nothing was written."""


class StoreBroken(StoreError):
    """It is not known whether the last write will be there after a crash: stop, and read anew."""


@dataclass(frozen=True, slots=True)
class Stored:
    topology: Topology
    revision: str


class Store(Protocol):
    """Calls block; they are made from one thread at a time."""

    def load(self) -> Stored | None:
        """What is stored, None when nothing ever was. Raises StoreError."""

    def swap(self, expected: str | None, topology: Topology) -> Stored:
        """Replaces the state `expected` (None: nothing yet), durably. Raises Conflict, StoreError,
        StoreBroken.
        """

    def leads_until(self) -> float:
        """When this process's right to write ends, in seconds of the monotonic clock (D2)."""

    def close(self) -> None:
        """Gives the right to write up."""
