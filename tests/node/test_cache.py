"""A replica's cache: how it is warmed, renewed and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aidb.slots import slot_of
from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put, refusal

KEYS = [b"cache:%d" % number for number in range(100)]
Start = Callable[..., NodeProcess]


@pytest.fixture
def start(alone: CoordinatorProcess, tmp_path: Path) -> Iterator[Start]:
    """Starts members of the one shard; the primary is there."""
    started: list[NodeProcess] = []

    def start(name: str, *arguments: str, role: str = "replica") -> NodeProcess:
        node = NodeProcess(alone.address, tmp_path / name, *arguments, role=role, name=name)
        started.append(node)
        return node.ready()

    yield start
    for node in started:
        node.kill()


def cache(node: NodeProcess) -> pb.CacheStats:
    stats: pb.GetStatsResponse = node.storage.GetStats(pb.GetStatsRequest(), timeout=10)
    return stats.cache


def hit(node: NodeProcess, key: bytes) -> pb.GetResponse | None:
    """What the cache says; None when it had to ask."""
    answer = get(node, key)
    return answer if answer.header.served_by == common.SERVED_BY_CACHE else None


def served(node: NodeProcess, key: bytes) -> bytes:
    """The cache's answer, once there is one."""
    found = until(lambda: hit(node, key))
    assert found is not None
    return found.value


def test_a_replica_is_warmed_with_what_its_sibling_is_read_for(start: Start) -> None:
    start("shard-0-primary", role="primary")
    sibling = start("shard-0-replica-0")
    for key in KEYS:
        put(sibling, key, key)
    for key in KEYS[:40]:
        assert served(sibling, key) == key
    warm = start("shard-0-replica-1", "--warm", "siblings")
    until(lambda: cache(warm).warmed == 40)
    assert cache(warm).entries == 40 and cache(warm).forwards == 0
    assert served(warm, KEYS[7]) == KEYS[7]


def test_a_replica_is_warmed_by_a_scan_until_it_is_nearly_full(start: Start) -> None:
    primary = start("shard-0-primary", role="primary")
    for key in KEYS:
        put(primary, key, key)
    warm = start("shard-0-replica-0", "--warm", "scan")
    until(lambda: cache(warm).warmed == len(KEYS))
    assert served(warm, KEYS[7]) == KEYS[7]
    for number in range(200):
        put(primary, b"large:%d" % number, bytes(50_000))
    small = start("shard-0-replica-1", "--warm", "scan", "--cache-bytes", "4MiB")
    until(lambda: cache(small).bytes > 3 << 20)
    assert cache(small).bytes <= 4 << 20


def test_small_values_that_are_read_are_renewed_in_place(start: Start) -> None:
    start("shard-0-primary", role="primary")
    replica = start("shard-0-replica-0", "--update-bytes", "100")
    read, unread, large = b"read", b"unread", b"large"
    for key in (read, unread, large):
        put(replica, key, b"old")
    assert served(replica, read) == served(replica, large) == b"old"
    get(replica, unread)
    before = cache(replica)
    put(replica, read, b"new")
    put(replica, unread, b"new")
    put(replica, large, bytes(101))
    until(lambda: cache(replica).invalidations - before.invalidations == 2)
    assert cache(replica).updates - before.updates == 1
    forwards = cache(replica).forwards
    assert served(replica, read) == b"new" and cache(replica).forwards == forwards
    assert get(replica, unread).value == b"new"
    assert get(replica, large).value == bytes(101)


def test_what_the_cache_does_is_counted(start: Start) -> None:
    start("shard-0-primary", role="primary")
    replica = start("shard-0-replica-0", "--threads", "1")
    until(lambda: hit(replica, b"absent"))
    counts = cache(replica)
    assert counts.negative_hits == counts.hits == 1 and counts.misses >= 1

    def read(key: bytes) -> bytes:
        # Nothing is as fresh as this asks, so that each read goes to the primary.
        header = common.RequestHeader(consistency=common.CONSISTENCY_BOUNDED)
        return get(replica, key, header=header).value

    def gathered() -> bool:
        with ThreadPoolExecutor(32) as pool:
            assert set(pool.map(read, KEYS)) == {b""}
        return cache(replica).gathered > 1

    until(gathered)
    assert cache(replica).forwards >= len(KEYS)


def test_a_replica_that_knows_an_older_topology_lets_the_primary_say_where_a_slot_is(
    pair: CoordinatorProcess, tmp_path: Path
) -> None:
    """M10: with its own it could only send clients back and forth."""
    started = [NodeProcess(pair.address, tmp_path / f"shard-{shard}", shard=shard) for shard in range(2)]
    started.append(NodeProcess(pair.address, tmp_path / "cache", role="replica", name="shard-0-replica-0"))
    try:
        for node in started:
            node.ready()
        replica = started[2]
        foreign = next(key for key in KEYS if slot_of(key) >= 8192)
        until(lambda: hit(replica, next(key for key in KEYS if slot_of(key) < 8192)))
        assert refusal(lambda: get(replica, foreign)).code == common.MOVED
        newer = common.RequestHeader(topology_version=pair.topology().version + 1_000)
        assert refusal(lambda: get(replica, foreign, header=newer)).code == common.TOPOLOGY_STALE
        request = pb.BatchGetRequest(keys=[foreign], header=newer)
        stale = refusal(lambda: replica.storage.BatchGet(request, timeout=10))
        assert stale.code == common.TOPOLOGY_STALE
    finally:
        for node in started:
            node.kill()
