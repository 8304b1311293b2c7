"""Start, stop, restart in place, and starts that have to be refused."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import grpc
import pytest

from aidb.v1 import cluster_pb2 as cluster
from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2 as node_pb
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, now_ms, put, refusal


def refused(node: NodeProcess, *words: str) -> None:
    """The start is refused: exit code 2 and one clear line."""
    assert node.exit_code() == 2
    errors = [line for line in node.log.read_text().splitlines() if " ERROR " in line]
    assert len(errors) == 1, node.log.read_text()
    assert all(word in errors[0] for word in words), errors[0]
    assert "Traceback" not in node.log.read_text()


def test_a_killed_primary_restarts_in_place(alone: CoordinatorProcess, tmp_path: Path) -> None:
    data = tmp_path / "shard-0"
    node = NodeProcess(alone.address, data).ready()
    for number in range(100):
        version = put(node, b"key-%d" % number, b"value").version
    repeated = common.RequestHeader(request_id=common.RequestId(client=5, seq=1), first_sent_unix_ms=now_ms())
    version = put(node, b"once", b"1", header=repeated).version
    node.kill()

    node = NodeProcess(alone.address, data).ready()
    assert alone.topology().shards[0].epoch == 2
    assert all(get(node, b"key-%d" % number).value == b"value" for number in range(100))
    repeated.attempt = 1
    assert put(node, b"once", b"1", header=repeated).version == version, "request ids are rebuilt by replay"
    assert put(node, b"new", b"1").version >= version + 2**32, "the new epoch begins beyond the cut"
    assert alone.topology().shards[0].cuts[-1].lsn >= version
    assert node.stop() == 0


def test_a_stop_answers_what_is_inside_and_leaves(alone: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(alone.address, tmp_path / "shard-0").ready()
    acknowledged: list[int] = []
    begun = threading.Event()

    def write() -> None:
        try:
            for number in range(1_000_000):
                put(node, b"key-%d" % number, b"x")
                acknowledged.append(number)
                begun.set()
        except grpc.RpcError:
            pass

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    assert node.stop() == 0
    writer.join()
    assert alone.member_state("shard-0-primary") == cluster.MEMBER_LEFT

    node = NodeProcess(alone.address, tmp_path / "shard-0").ready()
    assert all(get(node, b"key-%d" % number).found for number in acknowledged)
    assert node.stop() == 0


def test_a_directory_that_handed_its_shard_over_says_so(alone: CoordinatorProcess, tmp_path: Path) -> None:
    """Exit code 3, by which who provisions knows that it may go."""
    data = tmp_path / "shard-0"
    NodeProcess(alone.address, data).ready().stop()
    file = data / "identity.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "handed_over": 7}))
    assert NodeProcess(alone.address, data).exit_code() == 3


def test_a_drain_ends_the_program(alone: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(alone.address, tmp_path / "shard-0").ready()
    node.node.Drain(node_pb.DrainRequest())
    assert node.exit_code() == 0


def test_it_answers_starting_until_the_coordinator_is_there(tmp_path: Path) -> None:
    coordinator = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *FAST)
    address = coordinator.address
    coordinator.stop()
    node = NodeProcess(address, tmp_path / "shard-0")
    bound = until(lambda: [line for line in node.log.read_text().splitlines() if "address=" in line])
    node.connect(bound[0].split("address=")[1].split()[0])
    assert refusal(lambda: get(node, b"k")).code == common.STARTING
    coordinator = CoordinatorProcess(tmp_path / "coordinator", *FAST, listen=address)
    node.ready()
    put(node, b"k", b"v")
    assert node.stop() == 0
    coordinator.kill()


def test_without_the_coordinator_the_lease_ends_and_comes_back(tmp_path: Path) -> None:
    settings = ("--lease-ms", "600", *FAST)
    coordinator = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *settings)
    node = NodeProcess(coordinator.address, tmp_path / "shard-0").ready()
    put(node, b"k", b"v")
    coordinator.process.send_signal(signal.SIGSTOP)

    def lapsed() -> bool:
        try:
            put(node, b"k", b"v")
        except grpc.RpcError:
            return True
        return False

    until(lapsed)
    for call in (lambda: put(node, b"k", b"w"), lambda: get(node, b"k")):
        error = refusal(call)
        assert error.code == common.NO_LEASE
        assert error.retryable
    coordinator.process.send_signal(signal.SIGCONT)
    until(lambda: not lapsed())
    assert node.stop() == 0
    coordinator.kill()


def test_a_coordinator_that_was_killed_is_found_again(tmp_path: Path) -> None:
    settings = ("--lease-ms", "1000", *FAST)
    coordinator = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *settings)
    node = NodeProcess(coordinator.address, tmp_path / "shard-0").ready()
    put(node, b"k", b"v")
    coordinator.kill()
    coordinator = CoordinatorProcess(tmp_path / "coordinator", *settings, listen=coordinator.address)

    def term() -> int:
        return node.node.GetNodeInfo(node_pb.GetNodeInfoRequest()).term

    until(lambda: term() == 2)

    def serves() -> bool:
        try:
            return get(node, b"k").value == b"v"
        except grpc.RpcError:
            return False

    until(serves)
    assert node.stop() == 0
    coordinator.kill()


def test_a_busy_port_is_refused(alone: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(alone.address, tmp_path / "shard-0", listen=alone.address)
    refused(node, alone.address, "in use", "--listen")


def test_a_directory_in_use_is_refused(alone: CoordinatorProcess, tmp_path: Path) -> None:
    holder = NodeProcess(alone.address, tmp_path / "shard-0").ready()
    refused(NodeProcess(alone.address, tmp_path / "shard-0"), "in use by another process")
    put(holder, b"k", b"v")
    assert holder.stop() == 0


def test_foreign_files_are_refused_and_left_alone(alone: CoordinatorProcess, tmp_path: Path) -> None:
    data = tmp_path / "photos"
    data.mkdir()
    (data / "cat.jpg").write_bytes(b"meow")
    refused(NodeProcess(alone.address, data), str(data), "cat.jpg", "empty directory")
    assert [path.name for path in data.iterdir()] == ["cat.jpg"]


def test_a_file_is_no_directory(alone: CoordinatorProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refused(NodeProcess(alone.address, tmp_path / "file"), "cannot be used")


def test_a_directory_of_another_shard_is_refused(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(coordinator.address, tmp_path / "data", shard=1).ready()
    assert node.stop() == 0
    refused(NodeProcess(coordinator.address, tmp_path / "data", shard=0), "belongs to shard 1", "--shard")


def test_a_directory_of_another_cluster_is_refused(alone: CoordinatorProcess, tmp_path: Path) -> None:
    other = CoordinatorProcess(tmp_path / "other", "--shards", "1", *FAST)
    node = NodeProcess(other.address, tmp_path / "data").ready()
    assert node.stop() == 0
    before = (tmp_path / "data" / "identity.json").read_text()
    refused(NodeProcess(alone.address, tmp_path / "data"), "cannot join")
    assert (
        json.loads(before)["disk_id"]
        == json.loads((tmp_path / "data" / "identity.json").read_text())["disk_id"]
    )
    node = NodeProcess(other.address, tmp_path / "data").ready()
    assert node.stop() == 0
    other.kill()


@pytest.mark.parametrize(
    ("content", "word"),
    [('{"format": 2}', "newer version"), ("{", "damaged"), ('{"format": 1}', "damaged")],
)
def test_an_identity_that_cannot_be_read_is_refused(
    alone: CoordinatorProcess, tmp_path: Path, content: str, word: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "identity.json").write_text(content)
    refused(NodeProcess(alone.address, data), word, str(data))
    assert (data / "identity.json").read_text() == content


def test_an_empty_disk_does_not_take_a_shard_over(alone: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(alone.address, tmp_path / "first").ready()
    put(node, b"k", b"v")
    assert node.stop() == 0
    refused(NodeProcess(alone.address, tmp_path / "second"), "cannot join")


def test_a_cut_off_scan_does_not_hold_the_stop_up(alone: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(alone.address, tmp_path / "shard-0", "--grace-seconds", "60").ready()
    for number in range(40):
        put(node, b"key-%d" % number, b"v" * (1 << 20))
    stalled = node.storage.Scan(pb.ScanRequest())
    next(stalled)
    assert node.stop() == 0
