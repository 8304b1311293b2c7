"""Where a coordinator keeps what must outlive it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aidb_coordinator.autoscaling.memory import MemoryFile, MemoryKeeper
from aidb_coordinator.control import Control
from aidb_coordinator.scaling.absent import NoProvisioner
from aidb_coordinator.scaling.journal import FileJournal, Journal
from aidb_coordinator.scaling.local import LocalProvisioner
from aidb_coordinator.scaling.provisioner import Provisioner
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import Store
from aidb_coordinator.store.file import FileStore


@dataclass(frozen=True, slots=True)
class Keeping:
    """`provisioner` raises ProvisionError. `pods`: names of those that members may be; None: members are no
    pods.
    """

    store: Store
    journal: Journal
    memory: MemoryKeeper
    provisioner: Callable[[Control], Provisioner]
    pods: Callable[[], frozenset[str]] | None = None


def in_directory(settings: Settings) -> Keeping:
    """Raises StoreError."""

    def provisioner(control: Control) -> Provisioner:
        if settings.provisioner == "none":
            return NoProvisioner(lambda: control.topology)
        shards = tuple(shard.id for shard in control.topology.shards)
        return LocalProvisioner(settings.data, shards, settings.replicas)

    directory = settings.data
    return Keeping(FileStore(directory), FileJournal(directory), MemoryFile(directory), provisioner)
