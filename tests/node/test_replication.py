"""The primary's stream to a cache replica (C1, C3, C4), seen by a replica that is a test."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import xxhash

from aidb.slots import slot_of
from aidb.v1 import common_pb2 as common
from aidb.v1 import replication_pb2 as pb
from aidb.v1 import replication_pb2_grpc as rpc
from aidb.v1 import storage_pb2 as storage
from tests.coordinator.process import CoordinatorProcess, until
from tests.node.process import NodeProcess, put, refusal

_END = pb.SubscribeRequest()


class Replica:
    """One subscription. What it received lies in `records`, in order."""

    def __init__(
        self, node: NodeProcess, epoch: int = 0, applied_lsn: int = 0, update_bytes: int = 0
    ) -> None:
        self._asks: queue.SimpleQueue[pb.SubscribeRequest] = queue.SimpleQueue()
        hello = pb.SubscribeRequest.Hello(
            name="test", epoch=epoch, applied_lsn=applied_lsn, update_bytes=update_bytes
        )
        self._asks.put(pb.SubscribeRequest(hello=hello))
        self.stream = rpc.ReplicationStub(node.channel).Subscribe(iter(self._asks.get, _END), timeout=60)
        self.records: list[pb.CacheRecord] = []
        self.welcome = next(self.stream).welcome

    def ping(self, nonce: int) -> pb.Echo:
        """The echo of a ping, after all records before it were taken."""
        self._asks.put(pb.SubscribeRequest(ping=pb.Ping(nonce=nonce)))
        for message in self.stream:
            if message.HasField("echo"):
                echo: pb.Echo = message.echo
                return echo
            self.records += message.records.records
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self._asks.put(_END)
        self.stream.cancel()


@pytest.fixture
def node(alone: CoordinatorProcess, tmp_path: Path) -> Iterator[NodeProcess]:
    started = NodeProcess(alone.address, tmp_path / "shard-0").ready()
    yield started
    started.kill()


def physical(key: bytes) -> bytes:
    return slot_of(key).to_bytes(2, "big") + b"\0" + key


def test_every_record_comes_once_in_order_and_before_the_echo(node: NodeProcess) -> None:
    replica = Replica(node)
    assert not replica.welcome.resumed
    versions = [put(node, b"key-%d" % number, b"x").version for number in range(50)]
    node.storage.Delete(storage.DeleteRequest(key=b"key-0"))
    echo = replica.ping(9)
    assert echo.nonce == 9
    assert echo.committed_lsn >= versions[-1]
    assert replica.records[0].previous_lsn == replica.welcome.lsn
    for before, after in zip(replica.records, replica.records[1:], strict=False):
        assert after.previous_lsn == before.lsn
    assert echo.committed_lsn == replica.records[-1].lsn
    hashes = [hash_ for record in replica.records for hash_ in record.key_hashes]
    keys = [b"key-%d" % number for number in range(50)] + [b"key-0"]
    assert hashes == [xxhash.xxh3_64_intdigest(physical(key)) for key in keys]
    replica.close()


def test_small_values_travel_with_their_records_and_of_each_key_the_last(node: NodeProcess) -> None:
    replica = Replica(node, update_bytes=4)
    ops = [
        storage.WriteOp(key=b"{t}a", value=b"old"),
        storage.WriteOp(key=b"{t}b", value=b"tiny"),
        storage.WriteOp(key=b"{t}c", value=b"tiny"),
        storage.WriteOp(key=b"{t}d", value=b"large"),
        storage.WriteOp(key=b"{t}a", value=b"new"),
        storage.WriteOp(key=b"{t}b", value=b"large"),
        storage.WriteOp(key=b"{t}c", delete=True),
    ]
    node.storage.BatchPut(storage.BatchPutRequest(ops=ops, atomic=True), timeout=10)
    replica.ping(1)
    record = next(record for record in replica.records if record.updates)
    updates = {update.key: (update.value, update.deleted) for update in record.updates}
    assert updates == {physical(b"{t}a"): (b"new", False), physical(b"{t}c"): (b"", True)}
    assert {update.version for update in record.updates} == {record.lsn}
    hashes = [xxhash.xxh3_64_intdigest(physical(key)) for key in (b"{t}d", b"{t}b")]
    assert list(record.key_hashes) == hashes
    replica.close()


def test_a_broken_stream_resumes_after_what_was_applied(node: NodeProcess) -> None:
    first = Replica(node)
    put(node, b"a", b"1")
    applied = first.ping(1).committed_lsn
    first.close()
    version = put(node, b"b", b"2").version
    second = Replica(node, epoch=first.welcome.epoch, applied_lsn=applied)
    assert second.welcome.resumed
    assert second.welcome.lsn == applied
    second.ping(2)
    assert [record.lsn for record in second.records] == [version]
    assert second.records[0].previous_lsn == applied
    second.close()


def test_what_cannot_be_resumed_is_flushed(node: NodeProcess) -> None:
    version = put(node, b"a", b"1").version
    for epoch, lsn in ((1, version - 1 + 12345), (7, version), (0, 0)):
        replica = Replica(node, epoch=epoch, applied_lsn=lsn)
        assert not replica.welcome.resumed
        assert replica.welcome.lsn >= version
        replica.close()


def test_a_stream_begins_with_hello(node: NodeProcess) -> None:
    asks = iter([pb.SubscribeRequest(ping=pb.Ping(nonce=1))])
    error = refusal(lambda: list(rpc.ReplicationStub(node.channel).Subscribe(asks)))
    assert error.code == common.INVALID_ARGUMENT


def test_subscribers_are_counted_and_told_of_the_end(node: NodeProcess) -> None:
    replica = Replica(node)

    def subscribers() -> int:
        return node.storage.GetStats(storage.GetStatsRequest()).replication.subscribers

    assert subscribers() == 1
    other = Replica(node)
    assert subscribers() == 2
    other.close()
    until(lambda: subscribers() == 1)
    assert node.stop() == 0
    with pytest.raises(grpc.RpcError):
        replica.ping(1)
