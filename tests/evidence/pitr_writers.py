"""Clients of one primary that write at once, each to keys of its own, until they are told to stop or the
primary dies under them.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc

from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as pb
from tests.evidence.pitr_book import Book, Key, State, Write
from tests.node.process import NodeProcess

_CALL_SECONDS = 20.0
_KEYS = 150
_KEYSPACES = (0, 0, 0, 7, 300)


@dataclass(frozen=True, slots=True)
class Lost:
    """Writes whose answer never came; ``after``: the newest LSN that was known when they were sent."""

    writes: tuple[Write, ...]
    after: int


@dataclass(slots=True)
class Writer:
    """``state``: what its keys hold, as it knows."""

    number: int
    book: Book
    rng: random.Random
    state: State = field(default_factory=dict)
    lost: Lost | None = None
    done: Counter[str] = field(default_factory=Counter)
    in_flight: bool = False
    _serial: int = 0

    def settle(self, node: NodeProcess) -> None:
        """Looks how the write ended whose answer was lost; nobody else writes its keys."""
        lost, self.lost = self.lost, None
        for write in () if lost is None else lost.writes:
            keyspace, key = write.key
            header = common.RequestHeader(keyspace=keyspace)
            found: pb.GetResponse = node.storage.Get(
                pb.GetRequest(header=header, key=key), timeout=_CALL_SECONDS
            )
            if write.value is not None and found.found and found.value == write.value:
                self._took_effect([_at(write, found.version)])
            elif write.value is None and not found.found and write.key in self.state:
                assert lost is not None
                vague = lost.after + 1
                self.book.vague.append((lost.after, found.header.lsn + 1))
                self._took_effect([_at(write, vague)])

    def run(self, node: NodeProcess, stop: threading.Event) -> None:
        while not stop.is_set():
            after = self.book.newest
            writes = self._draw()
            self.in_flight = True
            try:
                self._took_effect(self._send(node, writes))
            except grpc.RpcError:
                self.lost = Lost(tuple(writes), after)
                return
            finally:
                self.in_flight = False

    def _draw(self) -> list[Write]:
        """One write, or a batch of writes of different keys."""
        rng = self.rng
        keys: set[Key] = set()
        batch = rng.randrange(2, 9) if rng.random() < 0.15 else 1
        tag = b"{t%d-%d}" % (self.number, rng.randrange(5)) if batch > 1 and rng.random() < 0.5 else b""
        keyspace = rng.choice(_KEYSPACES)
        while len(keys) < batch:
            keys.add((keyspace, b"%sw%d-%03d" % (tag, self.number, rng.randrange(_KEYS))))
        return [Write(0, key, self._value(), _now_ms(), 0) for key in sorted(keys)]

    def _value(self) -> bytes | None:
        """Never the same twice."""
        if self.rng.random() < 0.25:
            return None
        self._serial += 1
        large = self.rng.random() < 0.02
        size = self.rng.randrange(20_000, 200_000) if large else self.rng.randrange(400)
        return b"%d-%d-" % (self.number, self._serial) + self.rng.randbytes(size)

    def _send(self, node: NodeProcess, writes: list[Write]) -> list[Write]:
        """Those that took effect. Raises RpcError when nobody knows."""
        header = common.RequestHeader(keyspace=writes[0].key[0])
        if len(writes) == 1:
            return self._send_one(node, header, writes[0])
        tagged = writes[0].key[1].startswith(b"{")
        request = pb.BatchPutRequest(header=header, atomic=tagged)
        for write in writes:
            deletes = write.value is None
            request.ops.append(pb.WriteOp(key=write.key[1], value=write.value or b"", delete=deletes))
        answer: pb.BatchPutResponse = node.storage.BatchPut(request, timeout=_CALL_SECONDS)
        self.done["batches"] += 1
        assert not any(result.HasField("error") for result in answer.results), answer
        pairs = zip(writes, answer.results, strict=True)
        return [_at(write, result.version) for write, result in pairs]

    def _send_one(self, node: NodeProcess, header: common.RequestHeader, write: Write) -> list[Write]:
        key, value = write.key[1], write.value
        answer: Any
        if value is None:
            answer = node.storage.Delete(pb.DeleteRequest(header=header, key=key), timeout=_CALL_SECONDS)
            self.done["deletes"] += 1
        else:
            request = pb.PutRequest(header=header, key=key, value=value)
            conditional = self.rng.random() < 0.1
            if conditional:
                request.condition.if_absent = True
            try:
                answer = node.storage.Put(request, timeout=_CALL_SECONDS)
            except grpc.RpcError as error:
                if conditional and error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    self.done["conditions_failed"] += 1
                    return []
                raise
            self.done["puts"] += 1
        return [_at(write, answer.version)]

    def _took_effect(self, writes: list[Write]) -> None:
        self.book.note(writes)
        for write in writes:
            if write.value is None:
                self.state.pop(write.key, None)
            else:
                self.state[write.key] = write.value


def _at(write: Write, version: int) -> Write:
    return Write(version, write.key, write.value, write.sent_ms, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
