"""A taker's calls to the coordinator. It has no native server yet, which would make them."""

from __future__ import annotations

import os
import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from aidb.channels import failure_of
from aidb.v1 import cluster_pb2 as pb
from aidb.v1.cluster_pb2_grpc import CoordinationStub
from aidb_node import registration
from aidb_node.config import Settings
from aidb_node.dialing import channel_to, coordinator_options
from aidb_node.failure import StartRefused
from aidb_node.logs import Log

_TIMEOUT = 5.0
_LOG_EACH = 10


class Stopped(Exception):
    """The program was told to end."""


@dataclass(slots=True)
class Asking:
    """Asks until it is answered; `stop` ends that. A context manager."""

    settings: Settings
    disk_id: str
    cluster_uid: str
    stop: threading.Event
    log: Log
    process_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _channel: grpc.Channel = field(init=False, repr=False)

    def __enter__(self) -> Asking:
        self._channel = self.channel(self.settings.coordinator, coordinator_options())
        return self

    def __exit__(self, *exc: object) -> None:
        self._channel.close()

    def channel(self, address: str, options: Sequence[tuple[str, int]]) -> grpc.Channel:
        """To another program."""
        return channel_to(self.settings, address, options)

    def ask(self, step: str, epoch: int = 0, take: bool = False) -> pb.TakeOverResponse:
        """Raises StartRefused when the answer is final, Stopped."""
        request = pb.TakeOverRequest(
            cluster_uid=self.cluster_uid,
            shard=self.settings.shard,
            incarnation=self.settings.incarnation,
            disk_id=self.disk_id,
            name=self.settings.name,
            process_id=self.process_id,
            pid=os.getpid(),
            epoch=epoch,
            take=take,
            step=step,
        )
        attempt = 0
        while not self.stop.is_set():
            try:
                answer: pb.TakeOverResponse = CoordinationStub(self._channel).TakeOver(
                    request, timeout=_TIMEOUT
                )
                return answer
            except grpc.RpcError as failed:
                error = failure_of(failed, self.settings.coordinator, self.settings.shard).error
            decision = registration.after_failure(error, attempt)
            if isinstance(decision, registration.GiveUp):
                raise StartRefused(decision.message)
            if attempt % _LOG_EACH == 0:
                self.log.warning("no answer from the coordinator yet", attempt=attempt + 1, reason=error)
            attempt += 1
            self.stop.wait(decision.pause * random.uniform(0.5, 1.0))
        raise Stopped
