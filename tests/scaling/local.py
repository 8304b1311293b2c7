"""A local cluster whose operations are asked for and followed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from aidb.v1 import cluster_pb2 as pb
from aidb.v1.cluster_pb2_grpc import CoordinationStub
from tests.cli.command import Command
from tests.coordinator.process import until

# So long an operation may take on a machine that has much else to do.
SECONDS = 300.0
ENDED = ("done", "failed", "cancelled")


class Scaling:
    """Calls to the coordinator at ``address``, which may be away for a while."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.address: str = command.document("status")["coordinator"]["address"]
        options = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))
        self._channel = grpc.insecure_channel(self.address, options=options)
        self._stub = CoordinationStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def start(self, kind: str, **fields: object) -> pb.Operation:
        return self.send(pb.StartOperationRequest(kind=kind, **fields))  # type: ignore[arg-type]

    def send(self, request: pb.StartOperationRequest) -> pb.Operation:
        """Raises grpc.RpcError."""
        answer: pb.StartOperationResponse = self._stub.StartOperation(request, timeout=20)
        return answer.operation

    def control(self, operation_id: str, action: str) -> pb.Operation:
        request = pb.ControlOperationRequest(id=operation_id, action=action)
        answer: pb.ControlOperationResponse = self._stub.ControlOperation(request, timeout=20)
        return answer.operation

    def in_time(self, operation_id: str, action: str) -> bool:
        """False: it had ended."""
        try:
            self.control(operation_id, action)
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
            return False
        return True

    def status(self) -> pb.ClusterStatus | None:
        try:
            answer: pb.ClusterStatus = self._stub.GetClusterStatus(pb.GetClusterStatusRequest(), timeout=5)
        except grpc.RpcError:
            return None
        return answer

    def look(self, operation_id: str) -> pb.Operation | None:
        try:
            answer: pb.ListOperationsResponse = self._stub.ListOperations(
                pb.ListOperationsRequest(), timeout=5
            )
        except grpc.RpcError:
            return None
        return next(one for one in answer.operations if one.id == operation_id)

    def wait(
        self, operation_id: str, condition: Callable[[pb.Operation], bool], seconds: float = SECONDS
    ) -> pb.Operation:
        def met() -> pb.Operation | None:
            found = self.look(operation_id)
            return found if found is not None and condition(found) else None

        found = until(met, seconds)
        assert found is not None
        return found

    def ended(self, operation_id: str, seconds: float = SECONDS) -> pb.Operation:
        return self.wait(operation_id, lambda operation: operation.state in ENDED, seconds)

    def slots(self) -> dict[int, int]:
        """Of each shard."""
        status = until(self.status, SECONDS)
        assert status is not None
        return {shard.id: shard.slots for shard in status.shards}

    def kill_coordinator(self) -> None:
        status = until(self.status, SECONDS)
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)


@contextmanager
def scaling(command: Command) -> Iterator[Scaling]:
    found = Scaling(command)
    try:
        yield found
    finally:
        found.close()
