"""What a target asks the source of its move, and tells the coordinator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import grpc

from aidb.channels import failure_of
from aidb.errors import AidbError
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import moving_pb2 as moving
from aidb.v1.cluster_pb2_grpc import CoordinationStub
from aidb.v1.moving_pb2_grpc import MovingStub
from aidb_node.moves.document import Attempt

Answer = TypeVar("Answer")

_TIMEOUT = 5.0
# A source reads all that moves for it.
_DIGEST_TIMEOUT = 3600.0
_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Over(Exception):
    """The topology has this attempt no more, or the program ends."""


class Source(Protocol):
    """Every call is repeated until it is answered. Raises Over."""

    def pin(self, version: int, *, verify: bool) -> moving.PinSlotsResponse: ...
    def copy(self, version: int, after_key: bytes) -> moving.CopySlotsResponse: ...
    def tail(
        self, version: int, after_lsn: int, through_lsn: int, wait_ms: int
    ) -> moving.TailSlotsResponse: ...
    def digest(self, version: int, lsn: int, live_after_ms: int) -> moving.DigestSlotsResponse: ...


class RemoteSource:
    """A source over gRPC. `over` ends every wait; `close` ends a call under way."""

    def __init__(self, channel: grpc.Channel, address: str, attempt: Attempt, over: threading.Event) -> None:
        self._channel = channel
        self._address = address
        self._attempt = attempt
        self._over = over
        self._stub = MovingStub(channel)
        self.problem = ""

    def pin(self, version: int, *, verify: bool) -> moving.PinSlotsResponse:
        request = moving.PinSlotsRequest(move=self._move(version), verify=verify)
        return self._ask(lambda: self._stub.PinSlots(request, timeout=_TIMEOUT))

    def copy(self, version: int, after_key: bytes) -> moving.CopySlotsResponse:
        request = moving.CopySlotsRequest(move=self._move(version), after_key=after_key)
        return self._ask(lambda: self._stub.CopySlots(request, timeout=_TIMEOUT))

    def tail(self, version: int, after_lsn: int, through_lsn: int, wait_ms: int) -> moving.TailSlotsResponse:
        request = moving.TailSlotsRequest(
            move=self._move(version), after_lsn=after_lsn, through_lsn=through_lsn, wait_ms=wait_ms
        )
        return self._ask(lambda: self._stub.TailSlots(request, timeout=_TIMEOUT))

    def digest(self, version: int, lsn: int, live_after_ms: int) -> moving.DigestSlotsResponse:
        request = moving.DigestSlotsRequest(move=self._move(version), lsn=lsn, live_after_ms=live_after_ms)
        return self._ask(lambda: self._stub.DigestSlots(request, timeout=_DIGEST_TIMEOUT))

    def close(self) -> None:
        self._channel.close()

    def _move(self, version: int) -> moving.MoveRef:
        return moving.MoveRef(
            id=self._attempt.move_id, attempt=self._attempt.number, topology_version=version
        )

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        """Whatever is wrong may pass; whether there is any use in asking on, the topology says."""
        pause = _PAUSE
        while not self._over.is_set():
            try:
                return call()
            except grpc.RpcError as failed:
                self.problem = str(failure_of(failed, self._address).error)
            except ValueError as closed:  # grpc's for a channel that was closed
                raise Over from closed
            self._over.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise Over


class Coordinator:
    """Takes reports. A context of one process."""

    def __init__(self, channel: grpc.Channel, address: str, name: str, process_id: str) -> None:
        self._channel = channel
        self._address = address
        self._name = name
        self._process_id = process_id

    def report(self, said: pb.ReportMoveRequest) -> int:
        """The topology's version after it. Raises AidbError."""
        said.name, said.process_id = self._name, self._process_id
        try:
            answer: pb.ReportMoveResponse = CoordinationStub(self._channel).ReportMove(said, timeout=_TIMEOUT)
        except grpc.RpcError as failed:
            error: AidbError = failure_of(failed, self._address).error
            raise error from failed
        return answer.topology_version

    def close(self) -> None:
        self._channel.close()
