"""A client that knows the router's address and nothing else, as programs in other languages do.

It sends each write once, so that what breaks under one stays unknown; reads, and what was certainly not done,
it sends again until its patience ends.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import grpc

from aidb.attempts import unknown_outcome
from aidb.channels import failure_of, storage_options
from aidb.failure import failure_of_message
from aidb.headers import read_header, write_header
from aidb.interface import BatchResult, Condition, Consistency, Entry, Write
from aidb.options import Pool
from aidb.policy import Action, Kind, decide
from aidb.routing import Routing
from aidb.unary import condition_message, entry_of, write_op
from aidb.v1 import storage_pb2, storage_pb2_grpc
from tests.evidence.failures import Failures

PAUSE = 0.02


class RoutedClient:
    """A context manager; the part of `KeyValue` that sessions use. ``timeout`` in seconds per call."""

    def __init__(self, address: str, timeout: float, rng: random.Random) -> None:
        self._address = address
        self._timeout = timeout
        # Only for what headers need of it: it never gets a topology.
        self._state = Routing(rng=rng)
        self._channel = grpc.insecure_channel(address, options=storage_options(Pool()))
        self._stub = storage_pb2_grpc.StorageStub(self._channel)
        self.failures: Failures = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._channel.close()

    @property
    def session_token(self) -> bytes:
        return self._state.token.encode()

    def adopt_token(self, token: bytes) -> None:
        self._state.token.merge(token)

    def get_entry(self, key: bytes, *, consistency: Consistency | None = None) -> Entry | None:
        header = read_header(self._state, consistency or "session", self._deadline())
        return entry_of(key, self._send(Kind.READ, "Get", storage_pb2.GetRequest(header=header, key=key)))

    def put(self, key: bytes, value: bytes, *, if_absent: bool = False, if_version: int | None = None) -> int:
        condition = condition_message(Condition.of(if_absent, False, if_version))
        request = storage_pb2.PutRequest(header=self._write(1), key=key, value=value, condition=condition)
        version: int = self._send(Kind.CONDITIONAL, "Put", request).version
        return version

    def delete(self, key: bytes) -> int:
        request = storage_pb2.DeleteRequest(header=self._write(1), key=key)
        version: int = self._send(Kind.CONDITIONAL, "Delete", request).version
        return version

    def put_many(self, items: Mapping[bytes, bytes]) -> BatchResult:
        ops = [write_op(Write(key, value)) for key, value in items.items()]
        request = storage_pb2.BatchPutRequest(header=self._write(len(ops)), ops=ops)
        results = self._send(Kind.CONDITIONAL, "BatchPut", request).results
        errors = {}
        for index, result in enumerate(results):
            if result.HasField("error"):
                failure = failure_of_message(result.error)
                unknown = decide(failure.cause, Kind.CONDITIONAL) is Action.UNKNOWN
                errors[index] = unknown_outcome(failure.error) if unknown else failure.error
        return BatchResult([result.version for result in results], errors)

    def _write(self, count: int) -> Any:
        return write_header(self._state, None, self._deadline(), self._state.take_seqs(count))

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _send(self, kind: Kind, method: str, request: Any) -> Any:
        deadline = self._deadline()
        request.header.token = self.session_token
        while True:
            try:
                answer = getattr(self._stub, method)(request, timeout=deadline - time.monotonic())
            except grpc.RpcError as error:
                failure = failure_of(error, self._address)
            else:
                self._state.token.merge(answer.header.token)
                return answer
            self.failures[failure.cause] += 1
            action = decide(failure.cause, kind)
            if action is Action.UNKNOWN:
                raise unknown_outcome(failure.error)
            if action is Action.RAISE or time.monotonic() + PAUSE > deadline:
                raise failure.error
            time.sleep(PAUSE)
