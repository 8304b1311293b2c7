"""`aidb.open`: the engine embedded, with the cluster client's interface."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
from aidb_node import embedded

import aidb
from aidb.errors import (
    BatchTooLarge,
    Closed,
    ConditionFailed,
    DirectoryLocked,
    InvalidArgument,
    KeyEmpty,
    KeyTooLarge,
    NotAStore,
    Unsupported,
    ValueTooLarge,
)
from aidb.interface import KeyValue
from tests.coordinator.process import until

MILLION = 1_000_000


def test_a_million_keys_survive_a_close(tmp_path: Path) -> None:
    def key(number: int) -> bytes:
        return b"key-%07d" % number

    with aidb.open(tmp_path / "store") as store:
        result = store.put_many((key(number), b"value-%d" % number) for number in range(MILLION))
        assert result.ok
        assert len(result) == MILLION
    with aidb.open(tmp_path / "store") as store:
        values = store.get_many(map(key, range(MILLION)))
        assert all(value == b"value-%d" % number for number, value in enumerate(values))
        assert len(values) == MILLION
        assert sum(1 for _ in store.scan(keys_only=True)) == MILLION


@pytest.fixture
def store(tmp_path: Path) -> KeyValue:
    return embedded.open(tmp_path / "store", sync="none")


def test_single_keys(store: KeyValue) -> None:
    version = store.put(b"a", b"1")
    assert store.get(b"a") == b"1"
    assert store.get_entry(b"a") == aidb.Entry(b"a", b"1", version)
    assert store.delete(b"a") > version
    assert store.get(b"a") is None
    assert store.get_entry(b"a") is None
    assert store.get_many([b"a", b"b"]) == [None, None]


def test_conditions(store: KeyValue) -> None:
    version = store.put(b"a", b"1", if_absent=True)
    with pytest.raises(ConditionFailed) as caught:
        store.put(b"a", b"2", if_absent=True)
    assert (caught.value.current_version, caught.value.current_value) == (version, b"1")
    store.put(b"a", b"2", if_version=version)
    with pytest.raises(ConditionFailed) as caught:
        store.delete(b"none", if_exists=True)
    assert (caught.value.current_version, caught.value.current_value) == (0, None)
    with pytest.raises(InvalidArgument):
        store.put(b"a", b"x", if_absent=True, if_exists=True)


def test_time_to_live(store: KeyValue) -> None:
    store.put(b"a", b"1", ttl=0.05)
    until(lambda: store.get(b"a") is None)
    assert list(store.scan()) == []


def test_scans_go_in_key_order(store: KeyValue) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    model = {bytes(rng.choices(b"ab\xff", k=rng.randint(1, 5))): b"%d" % i for i in range(400)}
    store.put_many(model)
    keys = sorted(model)
    for _ in range(200):
        prefix, start, end = (bytes(rng.choices(b"ab\xff", k=rng.randint(0, 3))) for _ in range(3))
        after = rng.choice([None, rng.choice(keys)])
        reverse, limit = rng.random() < 0.5, rng.choice([None, 0, 1, 7])
        wanted = [key for key in keys if key.startswith(prefix) and key >= start and (not end or key < end)]
        if reverse:
            wanted.reverse()
        if after is not None:
            wanted = [key for key in wanted if (key < after if reverse else key > after)]
        found = store.scan(prefix=prefix, start=start, end=end, after=after, reverse=reverse, limit=limit)
        assert [(entry.key, entry.value) for entry in found] == [(key, model[key]) for key in wanted[:limit]]


def test_an_entry_of_a_scan_is_an_entry(store: KeyValue) -> None:
    version = store.put(b"a", b"1")
    store.put(b"b", b"2", ttl=1000)
    plain, expiring = store.scan()
    assert type(plain) is aidb.Entry
    assert plain == aidb.Entry(b"a", b"1", version)
    assert expiring == store.get_entry(b"b")
    assert [entry.value for entry in store.scan(keys_only=True)] == [b"", b""]


def test_threads_share_a_scan(store: KeyValue) -> None:
    keys = [b"%05d" % number for number in range(20_000)]
    store.put_many((key, key) for key in keys)
    with store.scan() as scan, ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(lambda: [entry.key for entry in scan]) for _ in range(4)]
        assert sorted(chain.from_iterable(part.result() for part in parts)) == keys


def test_a_closed_scan_is_at_its_end(store: KeyValue) -> None:
    store.put_many((b"%d" % number, b"") for number in range(100))
    with store.scan() as scan:
        assert next(scan).key == b"0"
    assert list(scan) == []
    scan.close()


def test_an_atomic_batch_takes_any_keys(store: KeyValue) -> None:
    version = store.write_batch(aidb.WriteBatch().put(b"a", b"1").put(b"zz", b"2").delete(b"q"))
    assert [entry and entry.version for entry in store.get_entries([b"a", b"zz"])] == [version, version]
    with pytest.raises(ConditionFailed):
        store.write_batch(aidb.WriteBatch().put(b"a", b"x").put(b"new", b"x", if_exists=True))
    assert store.get(b"a") == b"1"
    assert store.write_batch(aidb.WriteBatch()) == 0


def test_bad_items_do_not_spoil_good_ones(store: KeyValue) -> None:
    result = store.put_many([(b"a", b"1"), (b"", b"2"), (b"c", b"3")])
    assert set(result.errors) == {1}
    assert isinstance(result.errors[1], KeyEmpty)
    assert store.get_many([b"a", b"c"]) == [b"1", b"3"]
    assert not store.put_many([(b"a", b"9"), (b"n", b"9")], if_absent=True).ok
    assert store.get_many([b"a", b"n"]) == [b"1", b"9"]
    assert store.delete_many([b"a", b"c"]).ok


def test_limits(store: KeyValue) -> None:
    with pytest.raises(KeyEmpty):
        store.get(b"")
    with pytest.raises(KeyTooLarge):
        store.put(b"k" * 8193, b"")
    with pytest.raises(ValueTooLarge):
        store.put(b"k", bytes((16 << 20) + 1))
    with pytest.raises(BatchTooLarge):
        value = bytes(16 << 20)
        store.write_batch(aidb.WriteBatch().put(b"a", value).put(b"b", value).put(b"c", value))
    with pytest.raises(Unsupported):
        store.put(b"k", b"v", durability="archived")
    with pytest.raises(TypeError):
        store.put("text", b"v")  # type: ignore[arg-type]


def test_a_closed_store_says_so(store: KeyValue) -> None:
    store.close()
    store.close()
    with pytest.raises(Closed):
        store.get(b"a")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with aidb.open(tmp_path / "store"), pytest.raises(DirectoryLocked):
        aidb.open(tmp_path / "store")
    aidb.open(tmp_path / "store").close()


def test_something_else_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(NotAStore):
        aidb.open(tmp_path)


def test_a_forked_child_cannot_use_the_store(store: KeyValue) -> None:
    store.put(b"a", b"1")
    child = os.fork()
    if child == 0:
        try:
            store.get(b"a")
        except Closed:
            store.close()
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get(b"a") == b"1"
