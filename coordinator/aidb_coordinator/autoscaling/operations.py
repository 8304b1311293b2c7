"""Steps of the autoscaler as operations of the scaling manager."""

from __future__ import annotations

from aidb_coordinator.autoscaler.steps import Step
from aidb_coordinator.autoscaling.driver import Operations
from aidb_coordinator.scaling.manager import Manager
from aidb_coordinator.scaling.operation import Kind
from aidb_coordinator.scaling.requests import Request


class ManagedOperations(Operations):
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def in_the_way(self) -> str:
        for operation in self._manager.operations:
            if not operation.ended:
                return f"operation {operation.id} ({operation.describe()}) is {operation.state}"
        return ""

    async def begin(self, step: Step, asked_by: str) -> str:
        request = Request(
            id="", kind=Kind(step.kind.value), count=step.count, shards=step.shards, asked_by=asked_by
        )
        return (await self._manager.start(request)).id
