"""What must outlive a coordinator, in objects of Kubernetes.

    <cluster>-topology     the topology
    <cluster>-operations   as operations.json, see `scaling.journal`
    <cluster>-autoscaler   as autoscaler.json, see `autoscaling.memory`

Loading one is a write as well: whoever wrote it before finds another revision from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from aidb_coordinator.autoscaling import memory as memories
from aidb_coordinator.autoscaling.memory import Memory, MemoryKeeper
from aidb_coordinator.clock import Clock
from aidb_coordinator.control import Control
from aidb_coordinator.keeping import Keeping
from aidb_coordinator.kubernetes.api import Api
from aidb_coordinator.kubernetes.document import ConfigMapDocument
from aidb_coordinator.kubernetes.pods import pods_of
from aidb_coordinator.scaling import journal as journals
from aidb_coordinator.scaling.absent import NoProvisioner
from aidb_coordinator.scaling.journal import Journal
from aidb_coordinator.scaling.kubernetes import KubernetesProvisioner
from aidb_coordinator.scaling.operation import Operation
from aidb_coordinator.scaling.provisioner import Provisioner
from aidb_coordinator.scaling.sizes import sizes_of
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import Conflict, LeadershipEnded, StoreError
from aidb_coordinator.store.kubernetes import KubernetesStore

log = logging.getLogger("aidb.coordinator")

CLUSTER = "aidb.io/cluster"
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


class _Claimed:
    """A document that whoever loads it is the only one to write."""

    def __init__(self, document: ConfigMapDocument) -> None:
        self._document = document
        self._revision = ""

    def _claim(self, empty: bytes) -> bytes:
        """Raises StoreError."""
        while True:
            held = self._document.read()
            content = empty if held is None else held.content
            expected = None if held is None else held.revision
            try:
                self._revision = self._document.write(expected, content).revision
                return content
            except LeadershipEnded:
                raise
            except Conflict as error:
                log.info("%s", error)

    def _save(self, content: bytes) -> None:
        """Raises StoreError."""
        self._revision = self._document.write(self._revision, content).revision


class KubernetesJournal(_Claimed, Journal):
    def load(self) -> tuple[Operation, ...]:
        try:
            return journals.decode(self._claim(journals.encode(())))
        except _DAMAGED as error:
            raise StoreError(
                f"{self._document.place} is damaged: {error}; delete it to give the operations in it up: "
                "what they have done stays, and they can be asked for again"
            ) from error

    def save(self, operations: Sequence[Operation]) -> None:
        self._save(journals.encode(operations))


class KubernetesMemory(_Claimed, MemoryKeeper):
    def load(self) -> Memory:
        try:
            return memories.decode(self._claim(memories.encode(Memory())))
        except _DAMAGED as error:
            raise StoreError(
                f"{self._document.place} is damaged: {error}; delete it to begin with the mode and the "
                "settings that the coordinator is started with"
            ) from error

    def save(self, memory: Memory) -> None:
        self._save(memories.encode(memory))


def labels_of(settings: Settings) -> dict[str, str]:
    """Of everything that the coordinator makes."""
    return {
        "app.kubernetes.io/name": "aidb",
        "app.kubernetes.io/instance": settings.cluster_name,
        "app.kubernetes.io/component": "coordinator",
        CLUSTER: settings.cluster_name,
    }


def in_configmaps(api: Api, settings: Settings, leads_until: Callable[[], float]) -> Keeping:
    """`leads_until`: the end of the leadership that writes."""
    clock = Clock()

    def leads() -> bool:
        return clock.monotonic() < leads_until()

    def document(kind: str) -> ConfigMapDocument:
        return ConfigMapDocument(
            api,
            settings.namespace,
            f"{settings.cluster_name}-{kind}",
            labels_of(settings),
            leads,
        )

    def provisioner(control: Control) -> Provisioner:
        if settings.provisioner == "none":
            return NoProvisioner(lambda: control.topology)
        return KubernetesProvisioner(
            api,
            settings.namespace,
            settings.cluster_name,
            lambda: control.topology,
            lambda: sizes_of(control),
            leads,
        )

    return Keeping(
        KubernetesStore(document("topology"), leads_until),
        KubernetesJournal(document("operations")),
        KubernetesMemory(document("autoscaler")),
        provisioner,
        lambda: pods_of(api, settings.namespace, settings.cluster_name),
    )
