"""A router before two shards with a cache each: one address is the whole cluster."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest

from aidb.slots import SLOT_COUNT, slot_of
from aidb.token import SessionToken
from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2 as node_pb
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put, refusal, scan


@dataclass
class Routed:
    coordinator: CoordinatorProcess
    primaries: list[NodeProcess]
    replicas: list[NodeProcess]
    router: NodeProcess
    data: Path

    def shard_of(self, key: bytes) -> int:
        slot = slot_of(key)
        packed = self.coordinator.topology().slot_owners
        return int.from_bytes(packed[2 * slot : 2 * slot + 2], "big")

    def key_of(self, shard: int, prefix: str) -> bytes:
        names = (f"{prefix}-{number}".encode() for number in range(10_000))
        return next(name for name in names if self.shard_of(name) == shard)


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    data = tmp_path_factory.mktemp("routed")
    coordinator = CoordinatorProcess(data / "coordinator", "--shards", "2", *FAST)
    started: list[NodeProcess] = []

    def start(role: str, name: str, shard: int = 0) -> NodeProcess:
        node = NodeProcess(coordinator.address, data / name, role=role, name=name, shard=shard)
        started.append(node)
        return node.ready()

    try:
        yield Routed(
            coordinator,
            [start("primary", f"shard-{shard}-primary", shard) for shard in range(2)],
            [start("replica", f"shard-{shard}-replica-0", shard) for shard in range(2)],
            start("router", "router-0"),
            data,
        )
    finally:
        for node in started:
            node.kill()
        coordinator.kill()


def entries(chunks: list[pb.ScanResponse]) -> list[tuple[bytes, bytes]]:
    return [(entry.key, entry.value) for chunk in chunks for entry in chunk.entries]


def covered(chunks: list[pb.ScanResponse]) -> list[int]:
    ranges = [found for chunk in chunks for found in chunk.covered]
    return [slot for found in ranges for slot in range(found.first, found.last + 1)]


def gone(router: NodeProcess, key: bytes) -> bool:
    return not get(router, key).found


def test_both_shards_are_written_and_read_without_a_header(routed: Routed) -> None:
    for shard in range(2):
        key = routed.key_of(shard, "plain")
        version = put(routed.router, key, b"one").version
        found = get(routed.router, key)
        assert (found.value, found.version, found.header.shard) == (b"one", version, shard)
        routed.router.storage.Delete(pb.DeleteRequest(key=key))
        # Without a session nothing promises that a replica has heard of it yet.
        until(partial(gone, routed.router, key))


def test_reads_come_from_caches_and_strong_ones_from_the_primary(routed: Routed) -> None:
    key = routed.key_of(1, "cached")
    put(routed.router, key, b"v")
    until(lambda: get(routed.router, key).header.served_by == common.SERVED_BY_CACHE)
    strong = common.RequestHeader(consistency=common.CONSISTENCY_STRONG)
    assert get(routed.router, key, header=strong).header.served_by == common.SERVED_BY_PRIMARY


def test_a_session_through_the_router_sees_its_own_writes(routed: Routed) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    session = SessionToken(b"")
    keys = [routed.key_of(shard, f"session{number}") for shard in range(2) for number in range(4)]
    newest: dict[bytes, bytes] = {}
    for step in range(300):
        key = rng.choice(keys)
        header = common.RequestHeader(token=session.encode())
        if rng.random() < 0.4:
            newest[key] = str(step).encode()
            session.merge(put(routed.router, key, newest[key], header=header).header.token)
        else:
            found = get(routed.router, key, header=header)
            session.merge(found.header.token)
            assert found.value == newest.get(key, b"")


def test_a_batch_is_split_and_each_item_answered_in_its_place(routed: Routed) -> None:
    keys = [f"batch-{number}".encode() for number in range(200)]
    ops = [pb.WriteOp(key=key, value=b"v" + key) for key in keys]
    ops[7].key = b""
    ops[9].condition.if_exists = True
    written = routed.router.storage.BatchPut(pb.BatchPutRequest(ops=ops), timeout=10)
    codes = {index: result.error.code for index, result in enumerate(written.results) if result.error.code}
    assert codes == {7: common.KEY_EMPTY, 9: common.CONDITION_FAILED}
    read = routed.router.storage.BatchGet(pb.BatchGetRequest(keys=keys), timeout=10)
    values = [result.value if result.found else None for result in read.results]
    assert values == [None if index in (7, 9) else b"v" + key for index, key in enumerate(keys)]
    token = common.SessionToken.FromString(written.header.token)
    assert sorted(position.shard for position in token.positions) == [0, 1]


def test_a_batch_sent_again_is_remembered_by_its_numbers(routed: Routed) -> None:
    ops = [pb.WriteOp(key=f"again-{number}".encode(), value=b"v") for number in range(20)]
    identity = common.RequestId(client=4711, seq=100)

    def send(attempt: int) -> list[int]:
        header = common.RequestHeader(request_id=identity, attempt=attempt)
        answer = routed.router.storage.BatchPut(pb.BatchPutRequest(ops=ops, header=header), timeout=10)
        return [result.version for result in answer.results]

    assert send(0) == send(1)


def test_an_atomic_batch_needs_one_slot(routed: Routed) -> None:
    def ops(*keys: bytes) -> pb.BatchPutRequest:
        return pb.BatchPutRequest(ops=[pb.WriteOp(key=key, value=b"v") for key in keys], atomic=True)

    answer = routed.router.storage.BatchPut(ops(b"{one}a", b"{one}b"), timeout=10)
    assert len({result.version for result in answer.results}) == 1
    apart = [routed.key_of(0, "apart"), routed.key_of(1, "apart")]
    assert refusal(lambda: routed.router.storage.BatchPut(ops(*apart), timeout=10)).code == common.CROSS_SLOT


def test_what_is_wrong_is_refused_here(routed: Routed) -> None:
    assert refusal(lambda: get(routed.router, b"")).code == common.KEY_EMPTY
    assert refusal(lambda: put(routed.router, b"k" * 9000, b"")).code == common.KEY_TOO_LARGE
    damaged = common.RequestHeader(token=b"\xff\xff\xff")
    assert refusal(lambda: get(routed.router, b"k", header=damaged)).code == common.TOKEN_INVALID
    late = common.RequestHeader(deadline_unix_ms=1)
    assert refusal(lambda: get(routed.router, b"k", header=late)).code == common.DEADLINE_EXCEEDED


@pytest.fixture(scope="module")
def many(routed: Routed) -> dict[bytes, bytes]:
    """Two thousand keys of keyspace 5."""
    content = {f"scan-{number}".encode(): str(number).encode() * 40 for number in range(2000)}
    ops = [pb.WriteOp(key=key, value=value) for key, value in content.items()]
    header = common.RequestHeader(keyspace=5)
    routed.router.storage.BatchPut(pb.BatchPutRequest(ops=ops, header=header), timeout=10)
    return content


SPACE = common.RequestHeader(keyspace=5)


def test_a_scan_is_in_order_over_all_shards_and_complete(routed: Routed, many: dict[bytes, bytes]) -> None:
    in_order = sorted(many.items(), key=lambda item: (slot_of(item[0]), item[0]))
    for reverse in (False, True):
        chunks = scan(routed.router, header=SPACE, reverse=reverse, chunk_bytes=2000)
        assert entries(chunks) == (in_order[::-1] if reverse else in_order)
        assert sorted(covered(chunks)) == list(range(SLOT_COUNT))
        assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_a_scan_stops_at_its_limit_and_goes_on_where_it_was(routed: Routed, many: dict[bytes, bytes]) -> None:
    in_order = sorted(many.items(), key=lambda item: (slot_of(item[0]), item[0]))
    for reverse in (False, True):
        found: list[tuple[bytes, bytes]] = []
        cursor = None
        while len(found) < len(in_order):
            chunks = scan(routed.router, header=SPACE, limit=333, reverse=reverse, resume_after=cursor)
            part = entries(chunks)
            assert len(part) == min(333, len(in_order) - len(found))
            found += part
            cursor = pb.ScanCursor(slot=slot_of(part[-1][0]), key=part[-1][0])
        assert found == (in_order[::-1] if reverse else in_order)


def test_a_scan_of_some_slots_covers_just_those(routed: Routed, many: dict[bytes, bytes]) -> None:
    slots = [pb.SlotRange(first=100, last=3000), pb.SlotRange(first=9000, last=9000)]
    chunks = scan(routed.router, header=SPACE, slots=slots)
    wanted = [*range(100, 3001), 9000]
    assert covered(chunks) == wanted
    assert {key for key, _ in entries(chunks)} == {key for key in many if slot_of(key) in set(wanted)}


def test_a_scan_with_a_prefix_and_keys_only(routed: Routed, many: dict[bytes, bytes]) -> None:
    chunks = scan(routed.router, header=SPACE, prefix=b"scan-19", keys_only=True)
    assert sorted(entries(chunks)) == sorted((key, b"") for key in many if key.startswith(b"scan-19"))


def pipelined(node: NodeProcess, requests: list[pb.PipelineRequest]) -> dict[int, pb.PipelineResponse]:
    """The answers by id; each request has exactly one."""
    answers = list(node.storage.Pipeline(iter(requests), timeout=30))
    assert len({answer.id for answer in answers}) == len(answers) == len(requests)
    return {answer.id: answer for answer in answers}


def test_many_requests_share_one_stream(routed: Routed) -> None:
    keys = {number: routed.key_of(0, f"pipe{number}") for number in range(600)}
    for node in (routed.router, routed.replicas[0], routed.primaries[0]):
        puts = [
            pb.PipelineRequest(id=number, put=pb.PutRequest(key=key, value=node.address.encode()))
            for number, key in keys.items()
        ]
        wrong = [pb.PipelineRequest(id=1000, put=pb.PutRequest(key=b"")), pb.PipelineRequest(id=1001)]
        answers = pipelined(node, [*puts, *wrong])
        assert answers[1000].error.code == common.KEY_EMPTY
        assert answers[1001].error.code == common.UNSUPPORTED
        assert all(answers[number].put.version for number in keys)
        strong = common.RequestHeader(consistency=common.CONSISTENCY_STRONG)
        gets = [
            pb.PipelineRequest(id=number, get=pb.GetRequest(key=key, header=strong))
            for number, key in keys.items()
        ]
        batch = pb.PipelineRequest(id=2000, batch_get=pb.BatchGetRequest(keys=keys.values(), header=strong))
        answers = pipelined(node, [*gets, batch])
        assert {answers[number].get.value for number in keys} == {node.address.encode()}
        assert {result.value for result in answers[2000].batch_get.results} == {node.address.encode()}


def test_a_late_request_of_a_stream_is_refused_alone(routed: Routed) -> None:
    late = common.RequestHeader(deadline_unix_ms=1)
    key = routed.key_of(0, "late")
    requests = [
        pb.PipelineRequest(id=1, put=pb.PutRequest(key=key, value=b"v", header=late)),
        pb.PipelineRequest(id=2, put=pb.PutRequest(key=key, value=b"w")),
    ]
    answers = pipelined(routed.primaries[0], requests)
    assert answers[1].error.code == common.DEADLINE_EXCEEDED
    assert answers[2].put.version


def test_puts_that_come_together_are_judged_one_by_one(routed: Routed) -> None:
    """They travel as one batch; a repeated key, a condition and a wrong owner are each's own matter."""
    key, other = routed.key_of(0, "together"), routed.key_of(0, "together-other")
    puts = [pb.PutRequest(key=key, value=b"%d" % number) for number in range(20)]
    conditional = pb.PutRequest(key=other, value=b"v", condition=pb.Condition(if_exists=True))
    foreign = pb.PutRequest(key=routed.key_of(1, "together"), value=b"v")
    all_puts = [*puts, conditional, foreign, pb.PutRequest(key=other, value=b"w", ttl_ms=60_000)]
    requests = [pb.PipelineRequest(id=number, put=each) for number, each in enumerate(all_puts)]
    answers = pipelined(routed.primaries[0], requests)
    versions = [answers[number].put.version for number in range(20)]
    assert all(versions) and len(set(versions)) == 20
    newest = get(routed.primaries[0], key)
    assert newest.version == max(versions) and newest.value == b"%d" % versions.index(max(versions))
    assert all(answer.put.header.lsn >= answer.put.version for answer in answers.values())
    assert answers[21].error.code == common.MOVED
    assert answers[20].error.code == common.CONDITION_FAILED or answers[20].put.version
    assert answers[22].put.version and get(routed.primaries[0], other).expires_at_unix_ms


def test_reserved_calls_are_refused(routed: Routed) -> None:
    watching = routed.router.storage.Watch(pb.WatchRequest(), timeout=5)
    assert refusal(lambda: next(iter(watching))).code == common.UNSUPPORTED
    assert routed.router.storage.HealthCheck(pb.HealthCheckRequest()).role == "router"
    flush = refusal(lambda: routed.router.node.Flush(node_pb.FlushRequest(), timeout=5))
    assert flush.code == common.UNSUPPORTED


def test_failed_members(routed: Routed) -> None:
    """Last, since it kills. Without a cache the primary is read; without a primary that is said."""
    key = routed.key_of(0, "failing")
    put(routed.router, key, b"v")
    routed.replicas[0].signal(signal.SIGSTOP)
    assert get(routed.router, key).value == b"v"
    routed.replicas[0].kill()
    assert get(routed.router, key).value == b"v"
    address = routed.primaries[0].address
    routed.primaries[0].kill()
    error = refusal(lambda: put(routed.router, key, b"w"))
    assert error.retryable and error.code in (common.SHARD_UNAVAILABLE, common.UNKNOWN_OUTCOME)
    both = [key, routed.key_of(1, "failing")]
    ops = [pb.WriteOp(key=each, value=b"x") for each in both]
    results = routed.router.storage.BatchPut(pb.BatchPutRequest(ops=ops), timeout=10).results
    assert [result.error.code for result in results] == [common.SHARD_UNAVAILABLE, 0]
    back = NodeProcess(routed.coordinator.address, routed.data / "shard-0-primary", listen=address).ready()
    routed.primaries[0] = back
    try:
        until(lambda: served(routed.router, key))
        assert get(routed.router, key).value == b"v"
    finally:
        back.kill()


def served(router: NodeProcess, key: bytes) -> bool:
    try:
        return get(router, key).found
    except grpc.RpcError:
        return False
