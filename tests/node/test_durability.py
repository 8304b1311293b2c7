"""Modes (D4, C6): what an acknowledgement and an answer wait for, with a store that comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from aidb_node.recovery.recover import recover

from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.objects.file import FileStore
from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb
from tests.backup.support import contents, open_store
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, now_ms, put, refusal

# The archive's own turn never comes in these tests: whoever waits has to wake it.
RARELY = ("--archive-every", "3600")
ARCHIVED = common.RequestHeader(durability=common.DURABILITY_ARCHIVED)


class Objects:
    """A store in a directory, which can be taken away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name("aside")
        path.mkdir()

    def take_away(self) -> None:
        self.path.rename(self.aside)
        self.path.write_text("not a directory")

    def bring_back(self) -> None:
        self.path.unlink()
        self.aside.rename(self.path)

    def pieces(self) -> int:
        """Of the log, of all epochs."""
        return sum(path.parent.name == "log" for path in self.path.rglob("*"))

    def catalog(self, node: NodeProcess) -> Catalog:
        uid = node.node.GetNodeInfo(node_pb2.GetNodeInfoRequest(), timeout=10).cluster_uid
        return Catalog(FileStore(self.path), Names(uid, 0))


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


@pytest.fixture
def archiving(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    """The coordinator of a cluster of mode `archived`."""
    started = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", "--durability", "archived", *FAST)
    yield started
    started.kill()


class Nodes:
    """Starts programs of one coordinator, and ends them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[NodeProcess] = []

    def start(self, coordinator: CoordinatorProcess, name: str, *arguments: str, role: str) -> NodeProcess:
        node = NodeProcess(coordinator.address, self.path / name, *arguments, role=role, name=name)
        self.started.append(node)
        return node.ready()

    def primary(self, coordinator: CoordinatorProcess, objects: Objects) -> NodeProcess:
        url = objects.path.as_uri()
        node = self.start(coordinator, "shard-0", "--objects", url, *RARELY, role="primary")
        # A restore begins with a snapshot.
        until(lambda: durability(node).snapshot)
        return node


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    for node in made.started:
        node.kill()


def durability(node: NodeProcess) -> pb.DurabilityStats:
    answer: pb.GetStatsResponse = node.storage.GetStats(pb.GetStatsRequest(), timeout=10)
    return answer.durability


def found(node: NodeProcess, key: bytes) -> bool:
    return get(node, key).found


def header(seconds: float, durability: common.Durability.ValueType = 0) -> common.RequestHeader:  # type: ignore[assignment]
    return common.RequestHeader(durability=durability, deadline_unix_ms=now_ms() + int(seconds * 1000))


def test_an_archived_write_is_acknowledged_when_the_store_has_it(
    alone: CoordinatorProcess, nodes: Nodes, objects: Objects, tmp_path: Path
) -> None:
    node = nodes.primary(alone, objects)
    plain = put(node, b"plain", b"1").header.lsn
    safe = put(node, b"safe", b"1", header=ARCHIVED)
    assert plain < safe.header.lsn <= durability(node).archived_lsn
    # Nobody keeps the log's end: as `archived` (D4).
    nobody = common.RequestHeader(durability=common.DURABILITY_REPLICA)
    assert put(node, b"replica", b"1", header=nobody).header.lsn <= durability(node).archived_lsn

    objects.take_away()
    put(node, b"plain", b"2")
    late = common.DURABILITY_ARCHIVED
    refused = refusal(lambda: put(node, b"late", b"1", header=header(0.5, late)))
    assert refused.code == common.UNKNOWN_OUTCOME
    assert "object store" in refused.message
    assert get(node, b"late").value == b"1", "this cluster is async: what is on the disk is shown"
    refused = refusal(lambda: get(node, b"late", header=header(0.5, late)))
    assert refused.code == common.DEADLINE_EXCEEDED
    assert get(node, b"safe", header=header(5, late)).value == b"1"

    answers: list[pb.PutResponse] = []
    patient = threading.Thread(target=lambda: answers.append(put(node, b"patient", b"1", header=ARCHIVED)))
    patient.start()
    until(lambda: durability(node).waiting == 1)
    assert "objects" in until(lambda: durability(node).archive_error)
    objects.bring_back()
    patient.join()
    assert answers[0].header.lsn <= durability(node).archived_lsn
    catalog = objects.catalog(node)
    node.kill()
    report = recover(catalog, tmp_path / "copy", Target())
    assert report.lsn >= answers[0].header.lsn


def test_writes_that_wait_share_a_piece(alone: CoordinatorProcess, nodes: Nodes, objects: Objects) -> None:
    node = nodes.primary(alone, objects)
    first = put(node, b"first", b"1", header=ARCHIVED).header.lsn
    until(lambda: durability(node).archived_lsn >= first)
    before = objects.pieces()
    objects.take_away()
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(put, node, b"%d" % number, b"v", header=ARCHIVED) for number in range(50)]
        until(lambda: durability(node).waiting == 50)
        # Who waits was let in before its write was made: each of them has to be on the disk.
        for number in range(50):
            until(partial(found, node, b"%d" % number))
        objects.bring_back()
        assert all(answer.result().version for answer in waiting)
    # The one that was on its way when the store went, and the one of those that came meanwhile.
    assert objects.pieces() - before <= 2


def test_a_stop_in_order_answers_those_who_wait(
    archiving: CoordinatorProcess, nodes: Nodes, objects: Objects
) -> None:
    node = nodes.primary(archiving, objects)
    acknowledged: list[int] = []

    def write(client: int) -> None:
        while len(acknowledged) < 100_000:
            key = b"%d-%d" % (client, len(acknowledged))
            acknowledged.append(put(node, key, b"v").header.lsn)

    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(refusal, partial(write, client)) for client in range(8)]
        until(lambda: len(acknowledged) > 50)
        assert node.stop() == 0
        # Told that nothing was done, or by a connection that was refused.
        assert {one.result().code for one in writing} <= {common.SHUTTING_DOWN, common.ERROR_UNSPECIFIED}


def test_without_a_store_nothing_more_than_async_is_promised(
    archiving: CoordinatorProcess, nodes: Nodes
) -> None:
    node = nodes.start(archiving, "shard-0", role="primary")
    refused = refusal(lambda: put(node, b"k", b"v"))
    assert refused.code == common.UNSUPPORTED
    assert "--objects" in refused.message


def test_a_cluster_of_mode_archived(
    archiving: CoordinatorProcess, nodes: Nodes, objects: Objects, tmp_path: Path
) -> None:
    """Whatever way a write takes, its acknowledgement means that the store has it; and no answer shows what
    the store has not.
    """
    node = nodes.primary(archiving, objects)
    replica = nodes.start(archiving, "replica-0", role="replica")
    router = nodes.start(archiving, "router-0", role="router")
    assert archiving.status().durability == common.DURABILITY_ARCHIVED
    acknowledged: dict[bytes, bytes] = {}
    for at, through in enumerate((node, replica, router)):
        key = b"k%d" % at
        lsn = put(through, key, b"1").header.lsn
        assert lsn <= durability(node).archived_lsn
        batch = pb.BatchPutRequest(ops=[pb.WriteOp(key=b"%s-%d" % (key, n), value=b"b") for n in range(20)])
        answer = through.storage.BatchPut(batch, timeout=10)
        assert all(not result.HasField("error") for result in answer.results)
        assert max(result.version for result in answer.results) <= durability(node).archived_lsn
        ask = pb.PipelineRequest(id=1, put=pb.PutRequest(key=key + b"-p", value=b"p"))
        (answered,) = list(through.storage.Pipeline(iter([ask]), timeout=10))
        assert 0 < answered.put.version <= durability(node).archived_lsn
        acknowledged |= {key: b"1", key + b"-p": b"p"} | {op.key: op.value for op in batch.ops}
    # An entry of the cache, filled before the store goes.
    until(lambda: get(replica, b"k0").header.served_by == common.SERVED_BY_CACHE)

    objects.take_away()
    refused = refusal(lambda: put(node, b"k0", b"2", header=header(0.5)))
    assert refused.code == common.UNKNOWN_OUTCOME
    asks = [
        lambda: get(node, b"k0", header=header(0.5)),
        lambda: node.storage.BatchGet(
            pb.BatchGetRequest(keys=[b"k1", b"k0"], header=header(0.5)), timeout=10
        ),
        lambda: list(node.storage.Scan(pb.ScanRequest(header=header(0.5)), timeout=10)),
        lambda: get(node, b"nothing", header=header(0.5)),
        lambda: put(node, b"k0", b"3", header=header(0.5), condition=pb.Condition(if_absent=True)),
    ]
    with ThreadPoolExecutor(len(asks)) as pool:
        for refused in pool.map(refusal, asks):
            assert refused.code == common.DEADLINE_EXCEEDED
    assert get(node, b"k1", header=header(0.5)).value == b"1", "it is in the archive"
    assert get(replica, b"k0", header=header(0.5)).value == b"1", "as if it had not been written"
    objects.bring_back()
    until(lambda: get(replica, b"k0", header=header(5)).value == b"2")
    shown = get(node, b"k0")
    assert shown.header.lsn <= durability(node).archived_lsn
    acknowledged |= {b"k0": b"2"}

    catalog = objects.catalog(node)
    node.kill()
    recover(catalog, tmp_path / "copy", Target())
    store = open_store(tmp_path / "copy" / "store")
    # Physical keys: slot (2 bytes), keyspace (1), key.
    recovered = {key[3:]: value for key, value in contents(store).items()}
    store.close()
    assert acknowledged.items() <= recovered.items()
