"""Nobody provisions: whoever started the programs by hand starts and stops them for operations, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aidb_coordinator.scaling.provisioner import Provisioner, ProvisionError
from aidb_coordinator.scaling.room import Room
from aidb_coordinator.topology import Topology


class NoProvisioner(Provisioner):
    """A shard has the replicas that registered."""

    def __init__(self, topology: Callable[[], Topology]) -> None:
        self._topology = topology

    def ensure_shard(self, shard: int, replicas: int) -> None:
        raise ProvisionError(
            f"this coordinator starts no programs, so nobody would serve shard {shard}: use a cluster of "
            "aidb up, or of the operator"
        )

    def remove_shard(self, shard: int) -> None:
        return None

    def ensure_replicas(self, shard: int, count: int, without: tuple[str, ...] = ()) -> None:
        raise ProvisionError(
            f"nobody starts and stops programs for this coordinator: those of shard {shard} are yours"
        )

    def rooms(self) -> Mapping[int, Room]:
        return {}

    def observe(self) -> Mapping[int, tuple[str, ...]]:
        return {
            shard.id: tuple(replica.name for replica in shard.replicas) for shard in self._topology().shards
        }
