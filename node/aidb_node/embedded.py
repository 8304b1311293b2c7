"""`aidb.open(path)`: the engine in this process, with the cluster client's methods on raw keys.

What differs from a cluster: scans go in key order, atomic batches take any keys, every read is strong, and a
call takes as long as the disk does: `timeout`, `consistency` and `ordered` are accepted and change nothing.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from aidb.errors import AidbError, Closed, InvalidArgument, Unsupported
from aidb.interface import (
    BatchResult,
    Condition,
    Consistency,
    Durability,
    Entry,
    Seconds,
    Write,
    WriteBatch,
    ttl_to_ms,
)
from aidb_node import _native

_BATCH_ITEMS = 4096
_BATCH_BYTES = 4 << 20

Item = TypeVar("Item")
_NativeWrite = tuple[bytes, bytes | None, int, str, int]


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    sync: str = "group",
    cache_bytes: int = 256 << 20,
    memtable_bytes: int = 64 << 20,
    compression: str = "none",
) -> Store:
    """Open the store in the directory `path`.

    Args:
        create: make it when it is missing.
        sync: "group" acknowledges a write when it is on disk; "interval" and "none" before that: a crash of
            the machine, not of the process, may lose up to a tenth of a second, or a second.
        cache_bytes: for blocks read from disk.
        memtable_bytes: for the newest writes; two may be in memory.
        compression: of blocks on disk, "none" or "lz4".

    Raises:
        DirectoryLocked, NotAStore, NewerFormat: it cannot be opened as asked.
        Corruption: stored data fails its checksum.
    """
    native = _native.Store(
        os.fspath(path),
        create=create,
        sync=sync,
        cache_bytes=cache_bytes,
        memtable_bytes=memtable_bytes,
        compression=compression,
    )
    return Store(native)


class PutOptions(TypedDict, total=False):
    """Of `Store.put`; see `aidb.interface.KeyValue.put`."""

    ttl: Seconds | None
    if_absent: bool
    if_exists: bool
    if_version: int | None
    durability: Durability | None
    timeout: Seconds | None


class Store:
    """An open store; see `aidb.interface.KeyValue` for its methods. Safe to use from several threads."""

    def __init__(self, native: _native.Store) -> None:
        self._native = native
        _open_stores.add(self)

    def get(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> bytes | None:
        return self._native.get(key)

    def get_entry(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> Entry | None:
        return _entry(key, self._native.get_entry(key))

    def put(self, key: bytes, value: bytes, **options: Unpack[PutOptions]) -> int:
        if not options:
            # Named one by one, their defaults alone would take a tenth of such a put.
            return self._native.put(key, value, 0)
        return self._put(key, value, **options)

    def _put(
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
        _check_durability(durability)
        condition = Condition.of(if_absent, if_exists, if_version)
        if condition is None:
            return self._native.put(key, value, ttl_to_ms(ttl))
        return self._native.write_one(_write(Write(key, value, ttl_to_ms(ttl), condition)))

    def delete(
        self,
        key: bytes,
        *,
        if_exists: bool = False,
        if_version: int | None = None,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        _check_durability(durability)
        condition = Condition.of(False, if_exists, if_version)
        return self._native.write_one(_write(Write(key, None, 0, condition)))

    def get_many(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[bytes | None]:
        values: list[bytes | None] = []
        for chunk in _counted(keys):
            values += self._native.get_many(chunk)
        return values

    def get_entries(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[Entry | None]:
        entries: list[Entry | None] = []
        for chunk in _counted(keys):
            entries += map(_entry, chunk, self._native.get_entries(chunk))
        return entries

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
        pairs = items.items() if isinstance(items, Mapping) else items
        condition = Condition.of(if_absent, if_exists, None)
        ttl_ms = ttl_to_ms(ttl)
        if condition is not None:
            writes = (Write(key, value, ttl_ms, condition) for key, value in pairs)
            return self.write_many(writes, durability=durability)
        _check_durability(durability)
        collected = _Collected()
        for chunk in _sized_pairs(pairs):
            try:
                version = self._native.put_all(chunk, ttl_ms)
            except AidbError:
                # An item is bad, or the store is: item by item tells which.
                collected.add(self._native.write_many([(key, value, ttl_ms, "", 0) for key, value in chunk]))
            else:
                collected.versions += [version] * len(chunk)
        return collected.result()

    def delete_many(
        self,
        keys: Iterable[bytes],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        return self.write_many((Write(key, None) for key in keys), durability=durability)

    def write_many(
        self,
        writes: Iterable[Write],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        _check_durability(durability)
        collected = _Collected()
        for chunk in _sized(writes, _write_bytes):
            collected.add(self._native.write_many([_write(write) for write in chunk]))
        return collected.result()

    def write_batch(
        self, batch: WriteBatch, *, durability: Durability | None = None, timeout: Seconds | None = None
    ) -> int:
        _check_durability(durability)
        if not batch.writes:
            return 0
        return self._native.write_atomic([_write(write) for write in batch.writes])

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
    ) -> _native.Scan:
        if limit is not None and limit < 0:
            raise InvalidArgument(f"a limit is not negative, but {limit} is")
        if prefix:
            start, end = max(start, prefix), _lower_end(end, _successor(prefix))
        return self._native.scan(start, end, after, reverse, keys_only, limit)

    def stats(self, *, timeout: Seconds | None = None) -> Mapping[str, Any]:
        return self._native.stats()

    def flush(self) -> None:
        """Write what is in memory to sorted files, so that the next open has less to replay."""
        self._native.flush()

    def compact(self) -> None:
        """Merge all sorted files: takes long, and makes later reads and scans faster."""
        self._native.compact()

    def checkpoint(self, path: str | os.PathLike[str]) -> int:
        """A copy in the new directory `path`, by hard links; it opens as a store of its own. Its LSN."""
        return self._native.checkpoint(os.fspath(path))

    def close(self) -> None:
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Forked:
    """Stands for a store in a forked child: the store's threads are in the parent only."""

    def __init__(self, native: object) -> None:
        # Kept, because to drop it would wait for threads that do not exist here.
        self._parents = native

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            return lambda: None
        raise Closed("this store was opened before the process was forked: open it after the fork")


class _Collected:
    """The answers of several chunks as one result."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self._errors: dict[int, AidbError] = {}

    def add(self, answers: Sequence[tuple[int, AidbError | None]]) -> None:
        for version, error in answers:
            if error is not None:
                self._errors[len(self.versions)] = error
            self.versions.append(version)

    def result(self) -> BatchResult:
        return BatchResult(self.versions, self._errors)


def _write(write: Write) -> _NativeWrite:
    condition = write.condition
    if condition is None:
        kind, version = "", 0
    elif condition.if_version is not None:
        kind, version = "version", condition.if_version
    else:
        kind, version = ("absent" if condition.if_absent else "exists"), 0
    return write.key, write.value, write.ttl_ms, kind, version


def _write_bytes(write: Write) -> int:
    return len(write.key) + len(write.value or b"")


def _entry(key: bytes, found: tuple[bytes, int, int] | None) -> Entry | None:
    if found is None:
        return None
    value, version, expires_at_ms = found
    return Entry(key, value, version, expires_at_ms / 1000 if expires_at_ms else None)


def _check_durability(durability: Durability | None) -> None:
    if durability not in (None, "async"):
        raise Unsupported(
            f"an embedded store has one copy on one disk: durability {durability!r} needs a cluster"
        )


def _counted(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _BATCH_ITEMS)):
        yield chunk


def _sized(items: Iterable[Item], bytes_of: Any) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += bytes_of(item)
        if len(chunk) >= _BATCH_ITEMS or size >= _BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _sized_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> Iterable[Sequence[tuple[bytes, bytes]]]:
    # What is in memory already need not be looked at pair by pair.
    if isinstance(pairs, list | tuple) and (
        0 < len(pairs) <= _BATCH_ITEMS and sum(map(len, chain.from_iterable(pairs))) <= _BATCH_BYTES
    ):
        return (pairs,)
    return _sized(pairs, lambda pair: len(pair[0]) + len(pair[1]))


def _successor(prefix: bytes) -> bytes:
    """The first key after all with `prefix`; empty when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""


def _lower_end(a: bytes, b: bytes) -> bytes:
    """The lower of two ends; an empty one is open."""
    return min(a, b) if a and b else a or b


_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_open_stores):
        store._native = _Forked(store._native)  # type: ignore[assignment]


os.register_at_fork(after_in_child=_after_fork)
