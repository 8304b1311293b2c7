"""The workloads: each yields its name, the operations done, and the wall and CPU seconds they took."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from aidb.cli.bench_engine.engines import Engine

Measured = tuple[str, int, float, float]
Open = Callable[[Path, bool], Engine]

#: A store that is only filled gets so many times the keys: several memtables of either engine, of which all
#: but the last are flushed. A fill that ends within the first measures no flush, which a lasting load pays.
_FILL = 4
_BATCH = 100
_MANY = 64
_LONGEST_SCAN = 100
_THETA = 0.99


@dataclass(frozen=True, slots=True)
class Load:
    """`keys` entries; less is done where an operation takes long."""

    keys: int
    value_size: int


def run(open: Open, directory: Path, load: Load) -> Iterator[Measured]:
    """All workloads, in order; each group has a store of its own."""
    yield from _sequential(open(directory / "fillseq", False), load)
    yield from _batches(open(directory / "fillbatch", False), load)
    yield from _filled(open(directory / "filled", False), load)
    for writers, each in ((1, 200), (8, 50)):
        yield _synced(open(directory / f"fillsync-{writers}", True), load, writers, each)
    yield from _ycsb(open(directory / "ycsb", False), load)


def key(number: int) -> bytes:
    return b"%016d" % number


def _timed(name: str, operations: int, body: Callable[[], None]) -> Measured:
    started, cpu = time.perf_counter(), time.process_time()
    body()
    return name, operations, time.perf_counter() - started, time.process_time() - cpu


def _each(name: str, call: Callable[[bytes], object], keys: list[bytes]) -> Measured:
    def body() -> None:
        for each in keys:
            call(each)

    return _timed(name, len(keys), body)


def _puts(name: str, db: Engine, keys: list[bytes], value: bytes) -> Measured:
    def body() -> None:
        put = db.put
        for each in keys:
            put(each, value)

    return _timed(name, len(keys), body)


def _random_keys(load: Load, count: int, seed: int) -> list[bytes]:
    chosen = random.Random(seed)
    return [key(chosen.randrange(load.keys)) for _ in range(count)]


def _value(load: Load) -> bytes:
    return random.Random(1).randbytes(load.value_size)


def _fill(db: Engine, load: Load) -> None:
    """Every key once, in no order, merged."""
    numbers = list(range(load.keys))
    random.Random(2).shuffle(numbers)
    value = _value(load)
    for first in range(0, load.keys, _BATCH):
        db.put_batch([(key(number), value) for number in numbers[first : first + _BATCH]])
    db.settle()


def _sequential(db: Engine, load: Load) -> Iterator[Measured]:
    yield _puts("fillseq", db, [key(number) for number in range(_FILL * load.keys)], _value(load))
    db.close()


def _batches(db: Engine, load: Load) -> Iterator[Measured]:
    value = _value(load)
    pairs = [(each, value) for each in _random_keys(load, _FILL * load.keys, 3)]
    batches = [pairs[first : first + _BATCH] for first in range(0, len(pairs), _BATCH)]

    def body() -> None:
        for batch in batches:
            db.put_batch(batch)

    yield _timed("fillbatch100", len(pairs), body)
    db.close()


def _filled(db: Engine, load: Load) -> Iterator[Measured]:
    value = _value(load)
    yield _puts("fillrandom", db, _random_keys(load, load.keys, 4), value)
    yield _puts("overwrite", db, _random_keys(load, load.keys, 5), value)
    _fill(db, load)
    keys = _random_keys(load, load.keys, 6)
    assert db.get(keys[0]) == value and db.get(keys[0] + b"x") is None
    yield _each("readrandom", db.get, keys)
    yield _each("readmissing", db.get, [each + b"x" for each in keys])
    many = [keys[first : first + _MANY] for first in range(0, len(keys) - _MANY, _MANY)]

    def get_many() -> None:
        for each in many:
            assert len(db.get_many(each)) == _MANY

    yield _timed("multiget64", len(many) * _MANY, get_many)
    for length in (10, 100):
        for name, reverse in ((f"seek{length}", False), (f"seekback{length}", True)):
            yield _seeks(name, db, load, length, reverse)
    for name, reverse in (("readseq", False), ("readreverse", True)):

        def read_all(reverse: bool = reverse) -> None:
            assert db.scan(None, None, reverse) == load.keys

        yield _timed(name, load.keys, read_all)
    db.close()


def _seeks(name: str, db: Engine, load: Load, length: int, reverse: bool) -> Measured:
    chosen = random.Random(7)
    count = max(1, load.keys // length // 2)
    starts = [key(chosen.randrange(length, load.keys - length)) for _ in range(count)]

    def body() -> None:
        for start in starts:
            assert db.scan(start, length, reverse) == length

    return _timed(name, count, body)


def _synced(db: Engine, load: Load, writers: int, each: int) -> Measured:
    value = _value(load)

    def write(writer: int) -> None:
        for number in range(each):
            db.put(key(writer * each + number), value)

    def body() -> None:
        with ThreadPoolExecutor(writers) as pool:
            for done in [pool.submit(write, writer) for writer in range(writers)]:
                done.result()

    measured = _timed(f"fillsync-{writers}", writers * each, body)
    db.close()
    return measured


def _ycsb(db: Engine, load: Load) -> Iterator[Measured]:
    """YCSB A-F (Cooper et al. 2010), one client, Zipfian choice."""
    _fill(db, load)
    weights = list(accumulate(1 / (rank + 1) ** _THETA for rank in range(load.keys)))
    value = _value(load)
    get, put, scan = db.get, db.put, db.scan
    newest = load.keys
    for name in "abcdef":
        count = load.keys // 10 if name == "e" else load.keys // 2
        chosen = random.Random(8)
        ranks = chosen.choices(range(load.keys), cum_weights=weights, k=count)
        written = {"a": 0.5, "b": 0.05, "c": 0.0, "d": 0.05, "e": 0.05, "f": 0.5}[name]
        operations: list[tuple[str, bytes, int]] = []
        for rank in ranks:
            write = chosen.random() < written
            if name in "de" and write:
                operations.append(("put", key(newest), 0))
                newest += 1
            elif name == "d":
                operations.append(("get", key(newest - 1 - rank), 0))
            elif name == "e":
                operations.append(("scan", key(_scattered(rank, load)), chosen.randint(1, _LONGEST_SCAN)))
            else:
                kind = ("put" if name != "f" else "modify") if write else "get"
                operations.append((kind, key(_scattered(rank, load)), 0))

        def body(operations: list[tuple[str, bytes, int]] = operations) -> None:
            for kind, where, length in operations:
                if kind == "get":
                    assert get(where) is not None
                elif kind == "put":
                    put(where, value)
                elif kind == "scan":
                    assert scan(where, length, False) > 0
                else:
                    assert get(where) is not None
                    put(where, value)

        yield _timed(f"ycsb-{name}", count, body)
    db.close()


def _scattered(rank: int, load: Load) -> int:
    return rank * 0x9E3779B97F4A7C15 % load.keys
