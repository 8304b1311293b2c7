"""Concurrent clients of one primary that write down what they were told, until it is gone."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from aidb.errors import ErrorCode
from aidb.failure import Failure, failure_of_message, failure_of_status
from aidb.policy import Transport
from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc as rpc
from tests.checkers.recovered import Sight, Write
from tests.threads import Threads

WRITERS = 4
_CALL_SECONDS = 5.0
_POLL_SECONDS = 0.02
_KEYS = [b"k%02d" % number for number in range(48)]
# Keys of one slot.
_TOGETHER = [[b"{t%d}%d" % (tag, number) for number in range(6)] for tag in range(4)]
# After these a write may have happened, or may still happen.
_DOUBTFUL = frozenset(
    {
        Transport.LOST,
        Transport.TIMEOUT,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.INTERNAL,
        ErrorCode.POISONED,
    }
)
# After these the process is gone.
_GONE = frozenset({Transport.LOST, Transport.UNREACHABLE})
STRONG = common.RequestHeader(consistency=common.CONSISTENCY_STRONG)


@dataclass(slots=True)
class Recorded:
    """``promised`` of what is in it is not judged yet: that takes to know what was lost. Of the LSNs that the
    primary reported as archived and synced, the last.
    """

    writes: list[Write] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    doubtful: int = 0
    refused: int = 0
    archived_lsn: int = 0
    synced_lsn: int = 0


class Clients(Threads):
    """``life`` makes values differ from all others."""

    def __init__(self, address: str, life: int, seed: int) -> None:
        super().__init__()
        self._channel = grpc.insecure_channel(address)
        self.stub = rpc.StorageStub(self._channel)
        rng = random.Random(seed)
        self._clients = [
            _Client(self.stub, b"%d.%d" % (life, number), random.Random(rng.random()), self._stop)
            for number in range(WRITERS)
        ]
        self._safe = Recorded()
        self._archiving = threading.Event()
        self._crashes: list[BaseException] = []
        works: list[Callable[[], None]] = [*(client.run for client in self._clients), self._poll]
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._channel.close()

    def wait_for_archive(self, seconds: float) -> bool:
        """Until the primary has archived something, if it does."""
        return self._archiving.wait(seconds)

    def recorded(self) -> Recorded:
        """After the end. Raises what a thread died of."""
        if self._crashes:
            raise self._crashes[0]
        whole = self._safe
        for client in self._clients:
            whole.writes += client.seen.writes
            whole.sights += client.seen.sights
            whole.doubtful += client.seen.doubtful
            whole.refused += client.seen.refused
        return whole

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._crashes.append(error)

    def _poll(self) -> None:
        """What the primary says is safe."""
        while not self._stop.wait(_POLL_SECONDS):
            try:
                stats: pb.GetStatsResponse = self.stub.GetStats(pb.GetStatsRequest(), timeout=_CALL_SECONDS)
            except grpc.RpcError:
                return
            if stats.durability.archive_objects:
                self._archiving.set()
            self._safe.archived_lsn = max(self._safe.archived_lsn, stats.durability.archived_lsn)
            self._safe.synced_lsn = max(self._safe.synced_lsn, stats.engine.synced_lsn)


class _Client:
    def __init__(self, stub: rpc.StorageStub, name: bytes, rng: random.Random, stop: threading.Event) -> None:
        self._stub = stub
        self._name = name
        self._rng = rng
        self._stop = stop
        self._count = 0
        self.seen = Recorded()

    def run(self) -> None:
        acts = [self._put, self._delete, self._items, self._batch, self._swap]
        gone = False
        while not gone and not self._stop.is_set():
            (act,) = self._rng.choices(acts, (40, 10, 15, 15, 20))
            gone = act() in _GONE

    def _value(self) -> bytes:
        self._count += 1
        padding = self._rng.choice((0, 10, 100, 1000, 4000))
        return b"%s.%d" % (self._name, self._count) + b"." * padding

    def _put(self) -> object:
        key, value = self._rng.choice(_KEYS), self._value()
        request = pb.PutRequest(key=key, value=value)
        return self._one(Write(key, value, 0), lambda: self._stub.Put(request, timeout=_CALL_SECONDS).version)

    def _delete(self) -> object:
        key = self._rng.choice(_KEYS)
        request = pb.DeleteRequest(key=key)
        return self._one(
            Write(key, None, 0), lambda: self._stub.Delete(request, timeout=_CALL_SECONDS).version
        )

    def _swap(self) -> object:
        """Replaces what a strong read finds, unless another is quicker. The read is a promise, too (C6)."""
        key, value = self._rng.choice(_KEYS), self._value()
        try:
            found: pb.GetResponse = self._stub.Get(
                pb.GetRequest(header=STRONG, key=key), timeout=_CALL_SECONDS
            )
        except grpc.RpcError as error:
            return _failure(error).cause
        if found.found:
            self.seen.sights.append(Sight(key, found.value, found.version))
            condition = pb.Condition(if_version=found.version)
        else:
            condition = pb.Condition(if_absent=True)
        request = pb.PutRequest(key=key, value=value, condition=condition)
        return self._one(Write(key, value, 0), lambda: self._stub.Put(request, timeout=_CALL_SECONDS).version)

    def _one(self, write: Write, call: Callable[[], int]) -> object:
        try:
            version = call()
        except grpc.RpcError as error:
            failure = _failure(error)
            self._failed([write], failure)
            return failure.cause
        self.seen.writes.append(Write(write.key, write.value, version))
        return None

    def _items(self) -> object:
        """Independent items of one call."""
        items = [(key, self._value()) for key in self._rng.sample(_KEYS, self._rng.randrange(2, 12))]
        return self._many([Write(key, value, 0) for key, value in items], atomic=False)

    def _batch(self) -> object:
        """All or nothing."""
        self._count += 1
        batch = hash((self._name, self._count)) or 1
        keys = self._rng.choice(_TOGETHER)
        writes = [
            Write(key, None if self._rng.random() < 0.2 else self._value(), 0, batch)
            for key in self._rng.sample(keys, self._rng.randrange(2, len(keys) + 1))
        ]
        return self._many(writes, atomic=True)

    def _many(self, writes: list[Write], *, atomic: bool) -> object:
        ops = [pb.WriteOp(key=w.key, value=w.value or b"", delete=w.value is None) for w in writes]
        request = pb.BatchPutRequest(ops=ops, atomic=atomic)
        try:
            answer: pb.BatchPutResponse = self._stub.BatchPut(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            failure = _failure(error)
            self._failed(writes, failure)
            return failure.cause
        for write, result in zip(writes, answer.results, strict=True):
            if result.HasField("error"):
                self._failed([write], failure_of_message(result.error))
            else:
                self.seen.writes.append(Write(write.key, write.value, result.version, write.batch))
        return None

    def _failed(self, writes: list[Write], failure: Failure) -> None:
        if failure.cause in _DOUBTFUL:
            self.seen.writes += writes
            self.seen.doubtful += len(writes)
            return
        self.seen.refused += len(writes)
        if failure.cause is ErrorCode.CONDITION_FAILED:
            self._shown(writes[0].key, failure)
        elif failure.cause not in _GONE:
            # Not now: the primary says so at once, and nobody gains from being asked at full speed.
            time.sleep(0.002)

    def _shown(self, key: bytes, failure: Failure) -> None:
        value = getattr(failure.error, "current_value", None)
        version = getattr(failure.error, "current_version", 0)
        if value is not None and version:
            self.seen.sights.append(Sight(key, value, version))


def _failure(error: grpc.RpcError) -> Failure:
    trailers: dict[str, bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    return failure_of_status(error.code().name, error.details() or "", trailers.get("aidb-error-bin"), "it")
