"""Storage as a primary answers it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import aidb
from aidb.slots import SLOT_COUNT, slot_of
from aidb.v1 import cluster_pb2 as cluster
from aidb.v1 import cluster_pb2_grpc as cluster_rpc
from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2 as node_pb
from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc as rpc
from tests.coordinator.process import CoordinatorProcess, until
from tests.node.process import NodeProcess, get, now_ms, put, refusal, scan

CLIENT = 77


class Keys:
    """Keys of shard 0, and keys of other shards."""

    def __init__(self, topology: cluster.Topology) -> None:
        packed = topology.slot_owners
        self.owned = [slot for slot in range(SLOT_COUNT) if packed[2 * slot : 2 * slot + 2] == b"\0\0"]
        self._owned = set(self.owned)
        self._numbers = count(1)

    def fresh(self, prefix: str = "key") -> bytes:
        return next(key for key in self._new(prefix) if slot_of(key) in self._owned)

    def foreign(self) -> bytes:
        return next(key for key in self._new("foreign") if slot_of(key) not in self._owned)

    def foreign_slot(self) -> int:
        return next(slot for slot in range(SLOT_COUNT) if slot not in self._owned)

    def _new(self, prefix: str) -> Iterator[bytes]:
        return (f"{prefix}-{number}".encode() for number in self._numbers)


@pytest.fixture(scope="module")
def keys(coordinator: CoordinatorProcess) -> Keys:
    return Keys(coordinator.topology())


def header(**fields: object) -> common.RequestHeader:
    return common.RequestHeader(**fields)  # type: ignore[arg-type]


def test_what_is_put_is_there_and_what_is_deleted_is_not(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    version = put(primary, key, b"one").version
    found = get(primary, key)
    assert (found.found, found.value, found.version) == (True, b"one", version)
    assert found.header.lsn >= version
    assert primary.storage.Delete(pb.DeleteRequest(key=key)).version > version
    assert not get(primary, key).found


def test_an_empty_value_is_a_value(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    put(primary, key, b"")
    assert get(primary, key).found


def test_conditions_are_answered_with_what_is_there(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    absent = pb.Condition(if_absent=True)
    version = put(primary, key, b"one", condition=absent).version
    error = refusal(lambda: put(primary, key, b"two", condition=absent))
    assert error.code == common.CONDITION_FAILED
    assert (error.current.version, error.current.value) == (version, b"one")
    second = put(primary, key, b"two", condition=pb.Condition(if_version=version)).version
    assert second > version
    assert (
        refusal(lambda: put(primary, key, b"x", condition=pb.Condition(if_version=version))).current.value
        == b"two"
    )
    missing = keys.fresh()
    error = refusal(lambda: put(primary, missing, b"x", condition=pb.Condition(if_exists=True)))
    assert error.code == common.CONDITION_FAILED
    assert not error.HasField("current")


def test_a_value_is_gone_after_its_time_to_live(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    put(primary, key, b"short", ttl_ms=200)
    assert get(primary, key).expires_at_unix_ms > 0
    until(lambda: not get(primary, key).found)


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (b"", b"x", common.KEY_EMPTY),
        (b"k" * 8193, b"x", common.KEY_TOO_LARGE),
        (b"k", b"v" * ((16 << 20) + 1), common.VALUE_TOO_LARGE),
    ],
)
def test_limits_have_their_own_codes(primary: NodeProcess, key: bytes, value: bytes, code: int) -> None:
    assert refusal(lambda: put(primary, key, value)).code == code


def test_the_largest_key_and_value_fit(primary: NodeProcess, keys: Keys) -> None:
    tag = keys.fresh().decode()
    key = f"{{{tag}}}".encode().ljust(8192, b"k")
    value = b"v" * (16 << 20)
    put(primary, key, value)
    # grpcio takes 4 MiB unless told otherwise.
    with grpc.insecure_channel(
        primary.address, options=[("grpc.max_receive_message_length", 64 << 20)]
    ) as channel:
        assert rpc.StorageStub(channel).Get(pb.GetRequest(key=key)).value == value


def test_a_batch_that_is_too_large_is_refused(primary: NodeProcess, keys: Keys) -> None:
    ops = [pb.WriteOp(key=keys.fresh(), value=b"v" * (11 << 20)) for _ in range(3)]
    error = refusal(lambda: primary.storage.BatchPut(pb.BatchPutRequest(ops=ops)))
    assert error.code == common.BATCH_TOO_LARGE


def test_items_of_a_batch_stand_for_themselves(primary: NodeProcess, keys: Keys) -> None:
    good, bad = keys.fresh(), keys.foreign()
    ops = [
        pb.WriteOp(key=good, value=b"1"),
        pb.WriteOp(key=bad, value=b"2"),
        pb.WriteOp(key=b"", value=b"3"),
        pb.WriteOp(key=good, value=b"4", condition=pb.Condition(if_absent=True)),
    ]
    results = primary.storage.BatchPut(pb.BatchPutRequest(ops=ops)).results
    codes = [result.error.code for result in results]
    assert codes == [common.ERROR_UNSPECIFIED, common.MOVED, common.KEY_EMPTY, common.CONDITION_FAILED]
    assert get(primary, good).value == b"1"

    answers = primary.storage.BatchGet(pb.BatchGetRequest(keys=[good, bad, keys.fresh()])).results
    assert answers[0].value == b"1"
    assert answers[1].error.code == common.MOVED
    assert not answers[2].found


def test_an_atomic_batch_is_one_slot_and_all_or_nothing(primary: NodeProcess, keys: Keys) -> None:
    tag = keys.fresh().decode()
    one, two = f"{{{tag}}}:1".encode(), f"{{{tag}}}:2".encode()
    apart = [pb.WriteOp(key=keys.fresh(), value=b"x") for _ in range(4)]
    error = refusal(lambda: primary.storage.BatchPut(pb.BatchPutRequest(ops=apart, atomic=True)))
    assert error.code == common.CROSS_SLOT

    failing = [
        pb.WriteOp(key=one, value=b"x"),
        pb.WriteOp(key=two, value=b"x", condition=pb.Condition(if_exists=True)),
    ]
    error = refusal(lambda: primary.storage.BatchPut(pb.BatchPutRequest(ops=failing, atomic=True)))
    assert error.code == common.CONDITION_FAILED
    assert not get(primary, one).found

    ops = [pb.WriteOp(key=key, value=b"y") for key in (one, two)]
    results = primary.storage.BatchPut(pb.BatchPutRequest(ops=ops, atomic=True)).results
    assert results[0].version == results[1].version > 0


def test_a_key_of_another_shard_is_moved_there(primary: NodeProcess, keys: Keys) -> None:
    key = keys.foreign()
    for call in (lambda: get(primary, key), lambda: put(primary, key, b"x")):
        error = refusal(call)
        assert error.code == common.MOVED
        assert error.retryable
        assert (error.moved.slot, error.moved.shard) == (slot_of(key), 1)


def test_a_repeated_request_is_applied_once(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    first = header(request_id=common.RequestId(client=CLIENT, seq=1), first_sent_unix_ms=now_ms())
    version = put(primary, key, b"1", header=first).version
    put(primary, key, b"2")
    again = header(request_id=common.RequestId(client=CLIENT, seq=1), first_sent_unix_ms=now_ms(), attempt=1)
    assert put(primary, key, b"1", header=again).version == version
    assert get(primary, key).value == b"2"

    unseen = header(request_id=common.RequestId(client=CLIENT, seq=2), first_sent_unix_ms=now_ms(), attempt=1)
    assert put(primary, key, b"3", header=unseen).version > version
    ancient = header(
        request_id=common.RequestId(client=CLIENT, seq=3), first_sent_unix_ms=now_ms() - 120_000, attempt=1
    )
    assert refusal(lambda: put(primary, key, b"4", header=ancient)).code == common.UNKNOWN_OUTCOME
    assert get(primary, key).value == b"3"


def test_a_passed_deadline_is_refused_and_nothing_is_done(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    late = header(deadline_unix_ms=now_ms() - 1)
    assert refusal(lambda: put(primary, key, b"x", header=late)).code == common.DEADLINE_EXCEEDED
    assert not get(primary, key).found


def test_a_client_that_knows_more_makes_the_node_refresh(primary: NodeProcess, keys: Keys) -> None:
    version = get(primary, keys.fresh()).header.topology_version
    begun = time.monotonic()
    error = refusal(lambda: get(primary, keys.fresh(), header=header(topology_version=version + 1000)))
    assert error.code == common.TOPOLOGY_STALE
    assert error.retryable
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("durability", [common.DURABILITY_REPLICA, common.DURABILITY_ARCHIVED])
def test_what_cannot_be_promised_is_refused(primary: NodeProcess, keys: Keys, durability: int) -> None:
    asked = header(durability=durability)
    assert refusal(lambda: put(primary, keys.fresh(), b"x", header=asked)).code == common.UNSUPPORTED


def test_reserved_calls_say_so(primary: NodeProcess) -> None:
    assert refusal(lambda: list(primary.storage.Watch(pb.WatchRequest()))).code == common.UNSUPPORTED


def test_keyspaces_never_meet(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    put(primary, key, b"other", header=header(keyspace=300))
    assert not get(primary, key).found
    assert get(primary, key, header=header(keyspace=300)).value == b"other"
    found = [entry.key for answer in scan(primary, header=header(keyspace=300)) for entry in answer.entries]
    assert found == [key]


def test_a_scan_goes_in_slot_and_key_order_and_says_what_it_covers(primary: NodeProcess, keys: Keys) -> None:
    space = header(keyspace=7)
    names = sorted((keys.fresh("scan") for _ in range(500)), key=lambda key: (slot_of(key), key))
    ops = [pb.WriteOp(key=key, value=b"v" * 100) for key in names]
    primary.storage.BatchPut(pb.BatchPutRequest(header=space, ops=ops))

    answers = scan(primary, header=space, chunk_bytes=4096)
    assert len(answers) > 5
    assert [entry.key for answer in answers for entry in answer.entries] == names
    covered = [
        slot for answer in answers for span in answer.covered for slot in range(span.first, span.last + 1)
    ]
    assert covered == keys.owned
    assert [answer.done for answer in answers] == [False] * (len(answers) - 1) + [True]
    assert len({answer.header.lsn for answer in answers}) == 1

    backwards = scan(primary, header=space, reverse=True, chunk_bytes=4096)
    assert [entry.key for answer in backwards for entry in answer.entries] == names[::-1]

    cursor = pb.ScanCursor(slot=slot_of(names[123]), key=names[123])
    rest = scan(primary, header=space, resume_after=cursor, keys_only=True, limit=50)
    entries = [entry for answer in rest for entry in answer.entries]
    assert [entry.key for entry in entries] == names[124:174]
    assert not any(entry.value for entry in entries)
    assert not rest[-1].done


def test_a_scan_inside_a_tag_reads_that_slot(primary: NodeProcess, keys: Keys) -> None:
    tag = keys.fresh("tag").decode()
    names = sorted(f"{{{tag}}}:{number}".encode() for number in range(20))
    primary.storage.BatchPut(pb.BatchPutRequest(ops=[pb.WriteOp(key=key, value=b"x") for key in names]))
    answers = scan(primary, prefix=f"{{{tag}}}:1".encode())
    found = [entry.key for answer in answers for entry in answer.entries]
    assert found == [key for key in names if key.startswith(f"{{{tag}}}:1".encode())]
    assert answers[-1].done


def test_a_scan_of_foreign_slots_is_moved(primary: NodeProcess, keys: Keys) -> None:
    error = refusal(
        lambda: scan(primary, slots=[pb.SlotRange(first=keys.foreign_slot(), last=keys.foreign_slot())])
    )
    assert error.code == common.MOVED


def test_health_reflection_and_discovery_answer(
    primary: NodeProcess, coordinator: CoordinatorProcess
) -> None:
    health = health_pb2_grpc.HealthStub(primary.channel)
    for service in ("", "aidb.v1.Storage"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    checked = primary.storage.HealthCheck(pb.HealthCheckRequest())
    assert (checked.serving, checked.role, checked.name) == (True, "primary", "shard-0-primary")

    discovery = cluster_rpc.DiscoveryStub(primary.channel)
    view = discovery.GetTopology(cluster.GetTopologyRequest())
    assert view.topology.cluster_uid == coordinator.topology().cluster_uid
    watch = discovery.WatchTopology(cluster.GetTopologyRequest())
    assert next(watch).topology.version >= view.topology.version
    watch.cancel()
    error = refusal(lambda: discovery.GetTopology(cluster.GetTopologyRequest(cluster_uid="another")))
    assert error.code == common.WRONG_CLUSTER


def test_reflection_lists_the_services(primary: NodeProcess) -> None:
    services = set(ProtoReflectionDescriptorDatabase(primary.channel).get_services())
    wanted = {f"aidb.v1.{name}" for name in ("Storage", "Replication", "Moving", "Node", "Discovery")}
    assert wanted | {"grpc.health.v1.Health"} <= services


def test_stats_and_node_info(primary: NodeProcess) -> None:
    stats = primary.storage.GetStats(pb.GetStatsRequest())
    assert stats.keys > 0
    assert stats.cpu_us > 0
    assert stats.engine.synced_lsn == stats.engine.visible_lsn
    info = primary.node.GetNodeInfo(node_pb.GetNodeInfoRequest())
    assert (info.role, info.epoch, info.pid) == ("primary", 1, primary.process.pid)
    assert primary.node.Flush(node_pb.FlushRequest()).synced_lsn >= stats.engine.synced_lsn


def test_a_checkpoint_is_a_store_of_its_own(primary: NodeProcess, keys: Keys) -> None:
    key = keys.fresh()
    put(primary, key, b"kept")
    taken = primary.node.Checkpoint(node_pb.CheckpointRequest(name="one"))
    assert taken.lsn >= get(primary, key).version
    with aidb.open(taken.path) as copy:
        physical = slot_of(key).to_bytes(2, "big") + b"\0" + key
        assert copy.get(physical) == b"kept"
    for name in ("one", "../up", "", ".hidden"):
        refused = refusal(lambda name=name: primary.node.Checkpoint(node_pb.CheckpointRequest(name=name)))  # type: ignore[misc]
        assert refused.code == common.INVALID_ARGUMENT


def test_a_damaged_session_token_is_refused(primary: NodeProcess, keys: Keys) -> None:
    damaged = header(token=b"\xff\xff\xff")
    key = keys.fresh()
    assert refusal(lambda: get(primary, key, header=damaged)).code == common.TOKEN_INVALID
    assert refusal(lambda: put(primary, key, b"v", header=damaged)).code == common.TOKEN_INVALID
