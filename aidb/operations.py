"""The application's calls as operations: defaults filled in, arguments checked. Shared by both clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from aidb import batches, unary
from aidb.commands import Call, CallAll, Operation
from aidb.errors import InvalidArgument
from aidb.failure import Failure
from aidb.interface import (
    BatchResult,
    Condition,
    Consistency,
    Durability,
    Entry,
    Seconds,
    Write,
    WriteBatch,
    seconds,
    ttl_to_ms,
)
from aidb.ordering import ordered_scan
from aidb.routing import Routing
from aidb.scanning import ScanSpec, scan
from aidb.tracing.spans import traced
from aidb.v1 import storage_pb2

if TYPE_CHECKING:
    from aidb.client_metrics import ClientMetrics

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Operations:
    """Makes operations with a client's defaults. ``timeout`` in seconds."""

    routing: Routing
    timeout: float
    consistency: Consistency
    metrics: ClientMetrics | None = None

    def get_entry(
        self, key: bytes, consistency: Consistency | None, timeout: Seconds | None
    ) -> Operation[Entry | None]:
        asked = unary.get(self.routing, key, consistency or self.consistency, self._deadline(timeout))
        return self._watched("get", asked)

    def write(self, write: Write, durability: Durability | None, timeout: Seconds | None) -> Operation[int]:
        method = "delete" if write.value is None else "put"
        return self._watched(method, unary.put(self.routing, write, durability, self._deadline(timeout)))

    def write_batch(
        self, batch: WriteBatch, durability: Durability | None, timeout: Seconds | None
    ) -> Operation[int]:
        asked = unary.write_batch(self.routing, batch, durability, self._deadline(timeout))
        return self._watched("write_batch", asked)

    def get_entries(
        self, keys: Iterable[bytes], consistency: Consistency | None, timeout: Seconds | None
    ) -> Operation[list[Entry | None]]:
        asked = batches.get_many(
            self.routing, list(keys), consistency or self.consistency, self._deadline(timeout)
        )
        return self._watched("get_many", asked)

    def write_many(
        self, writes: Iterable[Write], durability: Durability | None, timeout: Seconds | None
    ) -> Operation[BatchResult]:
        asked = batches.write_many(self.routing, list(writes), durability, self._deadline(timeout))
        return self._watched("write_many", asked)

    def scan(
        self,
        prefix: bytes,
        start: bytes,
        end: bytes,
        after: bytes | None,
        limit: int | None,
        reverse: bool,
        keys_only: bool,
        ordered: bool,
        consistency: Consistency | None,
        timeout: Seconds | None,
    ) -> Operation[None]:
        spec = ScanSpec(
            prefix,
            start,
            end,
            after,
            limit,
            reverse,
            keys_only,
            consistency or self.consistency,
            self._seconds(timeout),
        )
        asked = ordered_scan(self.routing, spec) if ordered else scan(self.routing, spec)
        return self._watched("scan", asked)

    def stats(self, timeout: Seconds | None) -> Operation[Mapping[str, Any]]:
        deadline = self._deadline(timeout)
        members = self.routing.members()
        request = storage_pb2.GetStatsRequest()
        at_most = self.routing.retry.read_attempt_timeout
        answers = yield CallAll(
            [Call(member.address, "GetStats", request, deadline, at_most) for member in members]
        )
        return {
            member.name: {"error": str(answer.error)} if isinstance(answer, Failure) else plain(answer)
            for member, answer in zip(members, answers, strict=True)
        }

    def _watched(self, method: str, operation: Operation[T]) -> Operation[T]:
        operation = traced(method, operation)
        return operation if self.metrics is None else self.metrics.watched(method, operation)

    def _seconds(self, timeout: Seconds | None) -> float:
        return self.timeout if timeout is None else checked_timeout(timeout)

    def _deadline(self, timeout: Seconds | None) -> float:
        return self.routing.clock() + self._seconds(timeout)


def checked_timeout(timeout: Seconds) -> float:
    """Seconds. Raises InvalidArgument when not positive."""
    given = seconds(timeout)
    if not 0 < given < 1e9:
        raise InvalidArgument(f"a timeout is a positive number of seconds, not {given!r}")
    return given


def put_write(
    key: bytes, value: bytes, ttl: Seconds | None, if_absent: bool, if_exists: bool, if_version: int | None
) -> Write:
    """The write of a put."""
    if not isinstance(value, bytes):
        raise TypeError(f"values are bytes, not {type(value).__name__}")
    return Write(key, value, ttl_to_ms(ttl), Condition.of(if_absent, if_exists, if_version))


def delete_write(key: bytes, if_exists: bool = False, if_version: int | None = None) -> Write:
    """The write of a delete."""
    return Write(key, None, 0, Condition.of(False, if_exists, if_version))


def put_writes(
    items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
    ttl: Seconds | None,
    if_absent: bool,
    if_exists: bool,
) -> list[Write]:
    """The writes of a put of many."""
    pairs = items.items() if isinstance(items, Mapping) else items
    ttl_ms = ttl_to_ms(ttl)
    condition = Condition.of(if_absent, if_exists, None)
    return [Write(key, value, ttl_ms, condition) for key, value in pairs]


def values_of(entries: Iterable[Entry | None]) -> list[bytes | None]:
    """Values without the rest."""
    return [None if entry is None else entry.value for entry in entries]


def plain(message: Message) -> dict[str, Any]:
    """A message as a dict by field name, the response header left out."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name == "header":
            continue
        if field.is_repeated:
            found[field.name] = [plain(each) for each in value] if field.message_type else list(value)
        elif field.message_type is None:
            found[field.name] = value
        elif message.HasField(field.name):
            found[field.name] = plain(value)
    return found
