"""The calls of Coordination that change the cluster's shape."""

from __future__ import annotations

from dataclasses import dataclass

from aidb import errors
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from aidb_coordinator.control import Control
from aidb_coordinator.scaling.manager import Manager
from aidb_coordinator.scaling.operation import Kind, Operation
from aidb_coordinator.scaling.owners import refusal
from aidb_coordinator.scaling.progress import OperationProgress, eta_ms
from aidb_coordinator.scaling.requests import Request
from aidb_coordinator.service.answers import Context, answers
from aidb_coordinator.service.views import plan_to_proto
from aidb_coordinator.slot_load import By
from aidb_coordinator.topology import Move

MAX_TEXT = 200
MAX_NAMED = 1_024


class Operations(rpc.CoordinationServicer):
    def __init__(self, control: Control, scaling: Manager) -> None:
        self._control = control
        self._scaling = scaling

    @answers
    async def StartOperation(
        self, request: pb.StartOperationRequest, context: Context
    ) -> pb.StartOperationResponse:
        asked = _request(request)
        settings = self._control.settings
        if settings.provisioner == "kubernetes" and not request.dry_run:
            refused = refusal(asked, settings.namespace, settings.cluster_name)
            if refused:
                raise errors.InvalidArgument(refused)
        if request.dry_run:
            operation, plan, topology = await self._scaling.dry_run(asked)
            answer = pb.StartOperationResponse(operation=self._to_proto(operation))
            answer.plan.CopyFrom(plan_to_proto(plan, topology.version, asked.by))
            return answer
        return pb.StartOperationResponse(operation=self._to_proto(await self._scaling.start(asked)))

    @answers
    async def ControlOperation(
        self, request: pb.ControlOperationRequest, context: Context
    ) -> pb.ControlOperationResponse:
        operation = await self._scaling.control(request.id, request.action)
        return pb.ControlOperationResponse(operation=self._to_proto(operation))

    @answers
    async def ListOperations(
        self, request: pb.ListOperationsRequest, context: Context
    ) -> pb.ListOperationsResponse:
        return pb.ListOperationsResponse(operations=map(self._to_proto, self._scaling.operations))

    def _to_proto(self, operation: Operation) -> pb.Operation:
        progress = self._scaling.progress(operation)
        return pb.Operation(
            id=operation.id,
            kind=operation.kind.value,
            state=operation.state.value,
            phase=operation.phase.value,
            shards=operation.shards,
            replicas=operation.replicas,
            names=operation.names,
            by=operation.by.value,
            asked_by=operation.asked_by,
            created_ms=operation.created_ms,
            changed_ms=operation.since_ms,
            error=operation.error,
            waits_for=self._scaling.waits_for(operation),
            progress=pb.OperationProgress(
                moves=progress.moves,
                moves_done=progress.moves_done,
                moves_under_way=progress.moves_under_way,
                slots=progress.slots,
                slots_done=progress.slots_done,
                bytes_left=progress.bytes_left,
                bytes_per_second=progress.bytes_per_second,
                eta_ms=eta_ms(operation, progress, self._control.clock.wall_ms()),
            ),
        )


@dataclass(frozen=True, slots=True)
class ScalingStatus:
    """What the metrics show."""

    operations: tuple[tuple[Operation, OperationProgress], ...]
    moves: tuple[Move, ...]


def scaling_status(control: Control, scaling: Manager) -> ScalingStatus:
    operations = tuple((operation, scaling.progress(operation)) for operation in scaling.operations)
    return ScalingStatus(operations, control.topology.moves)


def _request(request: pb.StartOperationRequest) -> Request:
    """Raises InvalidArgument."""
    try:
        kind = Kind(request.kind)
    except ValueError as error:
        known = ", ".join(kind.value for kind in Kind)
        raise errors.InvalidArgument(f"{request.kind[:MAX_TEXT]!r} is none of {known}") from error
    try:
        by = By(request.by or By.SLOTS)
    except ValueError as error:
        raise errors.InvalidArgument(
            f"slots are evened by {', '.join(by.value for by in By)}, not by {request.by[:MAX_TEXT]!r}"
        ) from error
    if max(len(request.shards), len(request.names)) > MAX_NAMED:
        raise errors.InvalidArgument(f"{MAX_NAMED} shards or replicas at a time, not more")
    return Request(
        id=request.id,
        kind=kind,
        count=request.count or 1,
        shards=tuple(request.shards),
        replicas=request.replicas if request.HasField("replicas") else None,
        names=tuple(request.names),
        by=by,
        asked_by=request.asked_by[:MAX_TEXT],
    )
