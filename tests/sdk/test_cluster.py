"""The client against real processes: two shards with two cache replicas each."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import aidb
import aidb.aio
from aidb import errors
from aidb.slots import slot_of
from tests.sdk.conftest import Cluster


def test_reads_show_what_was_written(db: aidb.KeyValue) -> None:
    first = db.put(b"rw:key", b"one")
    assert db.get(b"rw:key") == b"one"
    second = db.put(b"rw:key", b"two", if_version=first)
    assert second > first
    entry = db.get_entry(b"rw:key")
    assert entry is not None and (entry.value, entry.version) == (b"two", second)
    db.delete(b"rw:key")
    assert db.get(b"rw:key") is None


def test_a_session_reads_its_own_writes_through_caches(db: aidb.KeyValue) -> None:
    for number in range(300):
        value = b"%d" % number
        db.put(b"session:hot", value)
        assert db.get(b"session:hot") == value


def test_conditions(db: aidb.KeyValue) -> None:
    version = db.put(b"cond:key", b"x", if_absent=True)
    with pytest.raises(errors.ConditionFailed) as failed:
        db.put(b"cond:key", b"y", if_absent=True)
    assert (failed.value.current_version, failed.value.current_value) == (version, b"x")
    with pytest.raises(errors.ConditionFailed):
        db.put(b"cond:none", b"y", if_exists=True)
    assert db.get(b"cond:key") == b"x"


def test_batches_go_to_all_shards_and_come_back_in_order(db: aidb.KeyValue) -> None:
    items = [(b"batch:%d" % number, b"v%d" % number) for number in range(5000)]
    db.put_many(items).raise_for_errors()
    asked = [*(key for key, _ in items), b"batch:none"]
    assert db.get_many(asked) == [*(value for _, value in items), None]


def test_scans_are_complete_and_ordered_as_promised(db: aidb.KeyValue) -> None:
    keys = [b"scan:%04d" % number for number in range(2000)]
    db.put_many([(key, b"v") for key in keys]).raise_for_errors()
    walked = [entry.key for entry in db.scan(prefix=b"scan:")]
    assert sorted(walked) == keys
    assert walked == sorted(keys, key=lambda key: (slot_of(key), key))
    assert [entry.key for entry in db.scan(prefix=b"scan:", ordered=True)] == keys
    assert [entry.key for entry in db.scan(prefix=b"scan:", reverse=True)] == walked[::-1]
    assert [entry.key for entry in db.scan(prefix=b"scan:", limit=7)] == walked[:7]


def test_atomic_batches_stay_in_one_slot(db: aidb.KeyValue) -> None:
    with pytest.raises(errors.CrossSlot):
        db.write_batch(aidb.WriteBatch().put(b"x", b"1").put(b"y", b"1"))
    db.write_batch(aidb.WriteBatch().put(b"{tag}:x", b"1").put(b"{tag}:y", b"1"))
    assert db.get_many([b"{tag}:x", b"{tag}:y"]) == [b"1", b"1"]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda db: db.get(b""), errors.KeyEmpty),
        (lambda db: db.put(b"k" * 8193, b""), errors.KeyTooLarge),
        (lambda db: db.put(b"k", b"v" * ((16 << 20) + 1)), errors.ValueTooLarge),
    ],
)
def test_limits_are_refused_by_name(
    db: aidb.KeyValue, act: Callable[[aidb.KeyValue], object], error: type[errors.AidbError]
) -> None:
    with pytest.raises(error):
        act(db)


def test_any_members_address_is_good_enough(cluster: Cluster) -> None:
    for node in (cluster.primaries[1], cluster.replicas[0]):
        with aidb.connect(node.address) as db:
            db.put(b"via", b"member")
            assert db.get(b"via") == b"member"


async def test_asyncio_is_the_same(cluster: Cluster) -> None:
    async with aidb.aio.connect(cluster.address) as db:
        await db.put(b"aio:key", b"value")
        assert await db.get(b"aio:key") == b"value"
        (await db.put_many([(b"aio:%d" % n, b"") for n in range(100)])).raise_for_errors()
        assert len([entry async for entry in db.scan(prefix=b"aio:")]) == 101


def test_a_dead_replica_fails_no_read(cluster: Cluster) -> None:
    keys = [b"dead:%d" % number for number in range(50)]
    with aidb.connect(cluster.address) as db:
        db.put_many([(key, b"v") for key in keys]).raise_for_errors()
        cluster.replicas.pop().kill()
        for _ in range(5):
            assert [db.get(key) for key in keys] == [b"v"] * len(keys)


def test_writes_wait_for_a_primary_that_comes_back(cluster: Cluster) -> None:
    with aidb.connect(cluster.address) as db:
        key = next(b"wait:%d" % n for n in range(100) if slot_of(b"wait:%d" % n) < 8192)
        db.put(key, b"before")
        entry = db.get_entry(key, consistency="strong")
        assert entry is not None
        old = cluster.primaries[0]
        old.kill()
        done: list[int] = []
        writer = threading.Thread(target=lambda: done.append(db.put(key, b"after", timeout=30.0)))
        writer.start()
        cluster.primaries[0] = cluster.start_primary(0, old.address)
        writer.join(60)
        assert done and done[0] > entry.version
        assert db.get(key) == b"after"


def test_importing_the_client_loads_no_grpc() -> None:
    loaded = "import sys, aidb; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
