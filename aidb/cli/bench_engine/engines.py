"""The two engines behind one interface, with matched settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import aidb
from aidb.errors import Unsupported

#: A cache that holds everything; small memtables, so that flushes and merges take part.
CACHE_BYTES = 1 << 30
MEMTABLE_BYTES = 16 << 20
BLOCK_BYTES = 4096
BLOOM_BITS = 10
FILE_BYTES = 32 << 20
LEVEL_BASE_BYTES = 256 << 20
BACKGROUND_THREADS = 2
MEMTABLES = 4

Pair = tuple[bytes, bytes]


class Engine(Protocol):
    put: Callable[[bytes, bytes], Any]
    get: Callable[[bytes], bytes | None]
    get_many: Callable[[list[bytes]], Sequence[bytes | None]]

    def put_batch(self, pairs: Sequence[Pair]) -> None: ...
    def scan(self, start: bytes | None, limit: int | None, reverse: bool) -> int:
        """Visits up to `limit` entries from `start` on (None: from the end that comes first); how many."""
        ...

    def settle(self) -> None:
        """Writes out what is in memory and merges all files."""
        ...

    def close(self) -> None: ...


class Aidb:
    def __init__(self, path: Path, sync: bool) -> None:
        store: Any = aidb.open(
            path, sync="group" if sync else "none", cache_bytes=CACHE_BYTES, memtable_bytes=MEMTABLE_BYTES
        )
        self._store = store
        self.put = store.put
        self.get = store.get
        self.get_many = store.get_many

    def put_batch(self, pairs: Sequence[Pair]) -> None:
        self._store.put_many(pairs).raise_for_errors()

    def scan(self, start: bytes | None, limit: int | None, reverse: bool) -> int:
        if start is None:
            return _count(self._store.scan(limit=limit, reverse=reverse))
        if reverse:
            # From the last key at or before `start`, as RocksDB has it: the end is exclusive.
            return _count(self._store.scan(end=start + b"\0", limit=limit, reverse=True))
        return _count(self._store.scan(start=start, limit=limit))

    def settle(self) -> None:
        self._store.flush()
        self._store.compact()

    def close(self) -> None:
        self._store.close()


class RocksDB:
    def __init__(self, path: Path, sync: bool) -> None:
        rocks = _rocksdict()
        blocks = rocks.BlockBasedOptions()
        blocks.set_block_size(BLOCK_BYTES)
        blocks.set_bloom_filter(BLOOM_BITS, False)
        blocks.set_block_cache(rocks.Cache.new_hyper_clock_cache(CACHE_BYTES, 0))
        options = rocks.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_size(MEMTABLE_BYTES)
        options.set_max_write_buffer_number(MEMTABLES)
        options.set_compression_type(rocks.DBCompressionType.none())
        options.set_target_file_size_base(FILE_BYTES)
        options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES)
        options.set_max_background_jobs(BACKGROUND_THREADS)
        write = rocks.WriteOptions()
        write.sync = sync
        db = rocks.Rdict(str(path), options)
        db.set_write_options(write)
        self._rocks, self._db, self._write = rocks, db, write
        self.put = db.put
        self.get = db.get
        self.get_many = db.get

    def put_batch(self, pairs: Sequence[Pair]) -> None:
        batch = self._rocks.WriteBatch(raw_mode=True)
        for key, value in pairs:
            batch.put(key, value)
        self._db.write(batch, self._write)

    def scan(self, start: bytes | None, limit: int | None, reverse: bool) -> int:
        items = self._db.items(backwards=reverse, from_key=start)
        return _count(items if limit is None else islice(items, limit))

    def settle(self) -> None:
        self._db.flush()
        self._db.compact_range(None, None)

    def close(self) -> None:
        self._db.close()


ENGINES: dict[str, Callable[[Path, bool], Engine]] = {"aidb": Aidb, "rocksdb": RocksDB}


def check() -> None:
    """Raises: Unsupported, when something to measure is not installed."""
    _rocksdict()


def _rocksdict() -> Any:
    try:
        import rocksdict
    except ImportError:
        raise Unsupported("RocksDB's bindings are not installed: pip install 'aidb[bench]'") from None
    return rocksdict


def _count(entries: Iterator[Any]) -> int:
    return sum(1 for _ in entries)
