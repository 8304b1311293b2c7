"""The provisioner of a local cluster: a file that its supervisor follows.

The supervisor runs the shards that the topology names, see `aidb.local.incarnations`, with the replicas that
this file names; so it needs no coordinator to start, and neither has to be there when the other restarts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from aidb.local import replicas
from aidb_coordinator.scaling.provisioner import Provisioner, ProvisionError
from aidb_coordinator.scaling.room import Room


class LocalProvisioner(Provisioner):
    """`directory` is the coordinator's; `usual`: replicas of a shard that the file does not name."""

    def __init__(self, directory: Path, shards: tuple[int, ...], usual: int) -> None:
        """`shards` of the topology. Raises ProvisionError."""
        self._path = directory / replicas.FILE
        try:
            known = replicas.read(self._path)
        except ValueError as error:
            raise ProvisionError(
                f"{self._path} is damaged: {error}; remove it to get the usual replicas"
            ) from error
        except OSError as error:
            raise ProvisionError(f"cannot read {self._path}: {error.strerror}") from error
        self._wanted = dict(known)
        for shard in shards:
            self._wanted.setdefault(shard, tuple(range(usual)))

    def ensure_shard(self, shard: int, replicas: int) -> None:
        if shard not in self._wanted:
            self._store({**self._wanted, shard: tuple(range(replicas))})

    def remove_shard(self, shard: int) -> None:
        if shard in self._wanted:
            self._store({kept: numbers for kept, numbers in self._wanted.items() if kept != shard})

    def ensure_replicas(self, shard: int, count: int, without: tuple[str, ...] = ()) -> None:
        wanted = self._wanted.get(shard, ())
        kept = [number for number in wanted if replicas.name_of(shard, number) not in without][:count]
        free = (number for number in range(len(wanted) + count) if number not in wanted)
        kept += [number for number, _ in zip(free, range(count - len(kept)), strict=False)]
        if tuple(kept) != wanted:
            self._store({**self._wanted, shard: tuple(kept)})

    def rooms(self) -> Mapping[int, Room]:
        """All are on the disk of the cluster's directory."""
        try:
            status = os.statvfs(self._path.parent)
        except OSError:
            return {}
        return dict.fromkeys(self._wanted, Room("here", status.f_bavail * status.f_frsize))

    def observe(self) -> Mapping[int, tuple[str, ...]]:
        return {
            shard: tuple(replicas.name_of(shard, number) for number in numbers)
            for shard, numbers in self._wanted.items()
        }

    def _store(self, wanted: dict[int, tuple[int, ...]]) -> None:
        try:
            replicas.write(self._path, wanted)
        except OSError as error:
            raise ProvisionError(f"cannot write {self._path}: {error.strerror}") from error
        self._wanted = wanted
