"""Somebody who does not know of the takeover: goes on sending to the old primary's address, past all
routing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import grpc

from aidb.v1 import common_pb2, storage_pb2, storage_pb2_grpc
from tests.threads import Threads

_PATIENCE = 5.0
# Requests that are under way at once: a stopped process takes them all up when it is resumed.
_SENDERS = 4
_PAUSE = 0.002


@dataclass(frozen=True, slots=True)
class Sent:
    """Times of the monotonic clock. ``version`` 0: a strong read."""

    at: float
    answered: float
    key: bytes
    version: int


class OldClients(Threads):
    """Sends writes and strong reads until the end; a context manager. `acknowledged` is complete after it."""

    def __init__(self, address: str, tag: str) -> None:
        super().__init__()
        self.acknowledged: list[Sent] = []
        self.sent = 0
        self._address = address
        self._tag = tag
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"old-{number}")
            for number in range(_SENDERS)
        ]

    def _run(self, number: int) -> None:
        sequence = 0
        with grpc.insecure_channel(self._address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
            stub = storage_pb2_grpc.StorageStub(channel)
            while not self._stop.wait(_PAUSE):
                sequence += 1
                self._send(stub, b"old-%s-%d-%d" % (self._tag.encode(), number, sequence), sequence % 3 == 0)

    def _send(self, stub: storage_pb2_grpc.StorageStub, key: bytes, reads: bool) -> None:
        header = common_pb2.RequestHeader(
            deadline_unix_ms=int((time.time() + _PATIENCE) * 1000),
            consistency=common_pb2.CONSISTENCY_STRONG if reads else common_pb2.CONSISTENCY_SESSION,
        )
        at = time.monotonic()
        version = 0
        self.sent += 1
        try:
            if reads:
                stub.Get(storage_pb2.GetRequest(header=header, key=key), timeout=_PATIENCE)
            else:
                put = storage_pb2.PutRequest(header=header, key=key, value=key)
                version = stub.Put(put, timeout=_PATIENCE).version
        except grpc.RpcError:
            return
        with self._lock:
            self.acknowledged.append(Sent(at, time.monotonic(), key, version))
