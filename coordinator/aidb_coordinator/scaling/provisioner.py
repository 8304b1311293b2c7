"""Who makes programs run: the supervisor of a local cluster, the operator in Kubernetes.

Level-triggered: a call says what is to be, may be repeated at any time, and returns before it is. What the
topology says of shards and incarnations is theirs to read; here is what it does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aidb_coordinator.scaling.room import Room


class ProvisionError(Exception):
    """It could not be noted; nothing changed. The message says what, where, and what to do."""


class Provisioner(Protocol):
    """Methods raise ProvisionError. They may block, and are called from one thread at a time."""

    def ensure_shard(self, shard: int, replicas: int) -> None:
        """A primary for a shard that is in the topology, or is about to be, and so many replicas. One that is
        there keeps the replicas that it has.
        """

    def remove_shard(self, shard: int) -> None:
        """No program of the shard any more. Its data is kept aside."""

    def ensure_replicas(self, shard: int, count: int, without: tuple[str, ...] = ()) -> None:
        """So many replicas; `without`: those named go first, whatever the count says."""

    def rooms(self) -> Mapping[int, Room]:
        """Of the disks that shards are on, as far as they are known."""

    def observe(self) -> Mapping[int, tuple[str, ...]]:
        """The names of the replicas that each shard is to have, oldest first, by shard."""
