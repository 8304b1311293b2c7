"""The one interface that the cluster client (`aidb.connect`) and the embedded engine (`aidb.open`) share.

Keys and values are bytes. Times to live and timeouts are seconds (or a timedelta). Versions are integers that
only grow per key; 0 means that there is no such key. Every error is an `aidb.errors.AidbError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

from aidb.errors import AidbError, InvalidArgument

Seconds = float | timedelta
Durability = Literal["async", "replica", "archived"]


@dataclass(frozen=True, slots=True)
class Bounded:
    """Consistency: never staler than ``seconds``."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise InvalidArgument(f"a staleness bound is positive, not {self.seconds!r} s")


Consistency = Literal["session", "strong", "eventual"] | Bounded


def bounded(seconds: float) -> Bounded:
    """``consistency=bounded(0.5)``: session reads that are never staler than half a second."""
    return Bounded(seconds)


class Entry(NamedTuple):
    """A key as it is stored. ``value`` is empty in scans with ``keys_only``.

    ``expires_at`` is in seconds since 1970, None = never.
    """

    key: bytes
    value: bytes
    version: int
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a write to happen: exactly one of the three is set."""

    if_absent: bool = False
    if_exists: bool = False
    if_version: int | None = None

    @classmethod
    def of(cls, if_absent: bool, if_exists: bool, if_version: int | None) -> Condition | None:
        """None when nothing is asked.

        Raises:
            InvalidArgument: more than one condition is given.
        """
        given = if_absent + if_exists + (if_version is not None)
        if given == 0:
            return None
        if given > 1:
            raise InvalidArgument("give one of if_absent, if_exists, if_version")
        return cls(if_absent, if_exists, if_version)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a batch. ``value`` None deletes; ``ttl_ms`` 0 never expires."""

    key: bytes
    value: bytes | None
    ttl_ms: int = 0
    condition: Condition | None = None


@dataclass(slots=True)
class WriteBatch:
    """Writes that happen all or not at all: ``db.write_batch(WriteBatch().put(key, value).delete(other))``.

    In a cluster all keys lie in one slot (give them one hash tag); the embedded engine takes any keys.
    Conditions see the earlier writes of the batch; the last write on a key wins.
    """

    writes: list[Write] = field(default_factory=list)

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl: Seconds | None = None,
        if_absent: bool = False,
        if_exists: bool = False,
        if_version: int | None = None,
    ) -> Self:
        """Add a put; returns the batch."""
        condition = Condition.of(if_absent, if_exists, if_version)
        self.writes.append(Write(key, value, ttl_to_ms(ttl), condition))
        return self

    def delete(self, key: bytes, *, if_exists: bool = False, if_version: int | None = None) -> Self:
        """Add a delete; returns the batch."""
        self.writes.append(Write(key, None, 0, Condition.of(False, if_exists, if_version)))
        return self

    def __len__(self) -> int:
        return len(self.writes)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The answers of a batch whose items are independent, aligned with the items given.

    ``versions[i]`` is 0 where ``errors[i]`` is set.
    """

    versions: Sequence[int]
    errors: Mapping[int, AidbError]

    @property
    def ok(self) -> bool:
        """Every item was written."""
        return not self.errors

    def raise_for_errors(self) -> Self:
        """Raise the first item's error, with its index and the count of failed items in its details."""
        if not self.errors:
            return self
        index = min(self.errors)
        error = self.errors[index]
        error.details.update(index=index, failed=len(self.errors))
        raise error

    def __len__(self) -> int:
        return len(self.versions)


class Scan(Iterator[Entry], Protocol):
    """Entries in order. Close it when it is not read to its end (or use it as a context manager)."""

    def close(self) -> None:
        """Free what the scan holds on servers; idempotent."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class KeyValue(Protocol):
    """What every AiDb handle can do. All methods are safe to call from several threads.

    Parameters that several methods share:
        timeout: seconds for the whole call, retries included; None = the handle's default.
        durability: acknowledge only when the write is that safe, if stronger than the store's mode.
        consistency: how fresh a read has to be; None = the handle's default ("session"). Embedded reads are
            always strong.

    Errors that every method may raise:
        KeyEmpty, KeyTooLarge, ValueTooLarge, InvalidArgument, Closed: the request.
        DeadlineExceeded: the time was up and nothing was done.
        Unavailable and its kinds: nothing was done, retries did not help in time.
        NodeError and its kinds: the store is damaged or full.
    Writes besides:
        UnknownOutcome: the write may or may not have been done.
    """

    def get(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> bytes | None:
        """The value of ``key``, None when there is none."""
        ...

    def get_entry(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> Entry | None:
        """Value, version and expiry of ``key``, None when there is none."""
        ...

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl: Seconds | None = None,
        if_absent: bool = False,
        if_exists: bool = False,
        if_version: int | None = None,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        """Write ``value``; returns its version.

        Args:
            ttl: seconds until it expires; None = never (an earlier expiry is removed).

        Raises:
            ConditionFailed: with the version and value found.
        """
        ...

    def delete(
        self,
        key: bytes,
        *,
        if_exists: bool = False,
        if_version: int | None = None,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        """Remove ``key``, which need not exist; returns the version of the deletion.

        Raises:
            ConditionFailed: with the version and value found.
        """
        ...

    def get_many(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[bytes | None]:
        """The values of ``keys``, aligned with them, None where there is none; all or an error."""
        ...

    def get_entries(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[Entry | None]:
        """Like `get_many`, with versions and expiries."""
        ...

    def put_many(
        self,
        items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
        *,
        ttl: Seconds | None = None,
        if_absent: bool = False,
        if_exists: bool = False,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """Write independent items: some may fail, see `BatchResult`. Items on one key keep their order."""
        ...

    def delete_many(
        self,
        keys: Iterable[bytes],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """Remove independent keys; see `BatchResult`."""
        ...

    def write_many(
        self,
        writes: Iterable[Write],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """Puts and deletes mixed, each with its own expiry and condition, independent of each other."""
        ...

    def write_batch(
        self, batch: WriteBatch, *, durability: Durability | None = None, timeout: Seconds | None = None
    ) -> int:
        """Write all of ``batch`` or nothing; returns the one version of its writes (0 for an empty batch).

        Raises:
            CrossSlot: cluster only: the keys lie in more than one slot.
            ConditionFailed: of the first write whose condition does not hold.
            BatchTooLarge: beyond the limit (32 MiB by default).
        """
        ...

    def scan(
        self,
        *,
        prefix: bytes = b"",
        start: bytes = b"",
        end: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
        reverse: bool = False,
        keys_only: bool = False,
        ordered: bool = False,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> Scan:
        """Entries whose key has ``prefix`` and lies in [start, end); empty bounds are open.

        Embedded: in key order. Cluster: in (slot, key) order unless ``ordered``, which merges all slots into
        key order by reading everything in the range before the first entry is returned (in passes of 64 MiB
        of memory). Concurrent writes may or may not be seen; an entry that is there for the whole scan is
        returned exactly once.

        Args:
            after: go on strictly after this key in the scan's own order: the last key seen by an earlier scan
                with the same parameters, in this or another process.
            timeout: seconds between two entries, not for the whole scan.
        """
        ...

    def stats(self, *, timeout: Seconds | None = None) -> Mapping[str, Any]:
        """Counters of the store (embedded) or of each member by name (cluster)."""
        ...

    def close(self) -> None:
        """Finish; idempotent. Later calls raise Closed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def seconds(time: Seconds) -> float:
    """A duration in seconds."""
    return time.total_seconds() if isinstance(time, timedelta) else float(time)


def ttl_to_ms(ttl: Seconds | None) -> int:
    """A time to live as the whole milliseconds of the protocol, 0 = never expires.

    Raises:
        InvalidArgument: zero or negative.
    """
    if ttl is None:
        return 0
    given = seconds(ttl)
    if not 0 < given < 2**53 / 1000:
        raise InvalidArgument(f"a time to live is a positive number of seconds, not {given!r}")
    return max(1, round(given * 1000))
