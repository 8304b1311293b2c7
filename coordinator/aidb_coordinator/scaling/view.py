"""What an operation's next step is decided by, as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from aidb_coordinator.topology import Topology


class Backup(Enum):
    """Of a shard that is about to go."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed, and asked for again after a while"


@dataclass(frozen=True, slots=True)
class View:
    """`healthy`: members that serve; `away`: those that left or failed. `provisioned`: the replicas' names,
    by shard, as the provisioner is to keep them. `backups`: those that this coordinator asked for.
    `archives`: there is an object store. `now_ms`: since 1970.
    """

    topology: Topology
    healthy: frozenset[str]
    away: frozenset[str]
    provisioned: Mapping[int, tuple[str, ...]]
    now_ms: int
    backups: Mapping[int, Backup] = field(default_factory=dict)
    archives: bool = False
    moves_per_shard: int = 2
    moves_at_once: int = 0

    def serves(self, shard_id: int) -> bool:
        """Its primary does."""
        shard = self.topology.shard(shard_id)
        return shard is not None and shard.primary is not None and shard.primary.name in self.healthy
