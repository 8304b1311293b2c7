"""A hot key against real processes: it is named, its reads widen over all replicas, its slot is isolated."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import aidb
from aidb.admin.app import app as admin
from aidb.cli.app import app as cli
from aidb.cli.main import run
from aidb.slots import slot_of
from aidb.v1 import storage_pb2 as storage
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess

KEY = b"the hot one"
SHARD = 0 if slot_of(KEY) < 8192 else 1
REPLICAS = 3
CLIENTS = 6


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.nodes: list[NodeProcess] = []
        self.coordinator = CoordinatorProcess(
            directory / "coordinator", "--shards", "2", "--autoscale-interval", "2", *FAST
        )
        try:
            for shard in range(2):
                self.nodes.append(
                    NodeProcess(self.address, directory / f"shard-{shard}", shard=shard).ready()
                )
            self.replicas = [self._replica(directory, number) for number in range(REPLICAS)]
        except BaseException:
            self.kill()
            raise

    def _replica(self, directory: Path, number: int) -> NodeProcess:
        name = f"shard-{SHARD}-replica-{number}"
        node = NodeProcess(self.address, directory / name, shard=SHARD, role="replica", name=name)
        self.nodes.append(node)
        return node.ready()

    @property
    def address(self) -> str:
        return self.coordinator.address

    def reads(self) -> list[int]:
        """Of each replica, since it began."""
        answers = [node.storage.GetStats(storage.GetStatsRequest(), timeout=10) for node in self.replicas]
        return [answer.load.reads for answer in answers]

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
        self.coordinator.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("hot"))
    yield made
    made.kill()


@contextmanager
def readers(address: str) -> Iterator[None]:
    """Clients that read the hot key in turn with others, each one at a time: none sees a queue."""
    ended = threading.Event()
    failures: list[BaseException] = []

    def read(number: int) -> None:
        try:
            with aidb.connect(address, timeout=30) as client:
                turn = number
                while not ended.is_set():
                    turn += 1
                    client.get(KEY if turn % 2 == 0 else b"other %d" % (turn % 5_000))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read, args=(number * 800,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def test_a_hot_key_is_named_and_spreads_over_all_replicas(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with aidb.connect(cluster.address) as db:
        db.put(KEY, b"value")

        def status() -> dict[str, list[dict[str, object]]]:
            assert run(["status", "--address", cluster.address, "-o", "json"], cli, "aidb") == 0
            found: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out)
            return found

        def named() -> dict[str, object] | None:
            found = status()
            named = KEY.decode() in [hot.get("key") for hot in found["hot_keys"]]
            return next((hot for hot in found["hot_slots"] if named and hot["slot"] == slot_of(KEY)), None)

        def shown() -> bool:
            assert run(["status", "--address", cluster.address], cli, "aidb") == 0
            text = capsys.readouterr().out
            return "HOT SLOT" in text and "HOT KEY" in text and KEY.decode() in text

        with readers(cluster.address):
            hot = until(named, 90)
            until(shown, 90)
        assert (
            hot is not None
            and hot["shard"] == SHARD
            and not hot["alone"]
            and int(str(hot["reads_per_second"])) >= 50
        )

        # One client that reads nothing else: told by a cache once, it asks all of them.
        def even() -> bool:
            before = cluster.reads()
            for _ in range(300):
                assert db.get(KEY) == b"value"
            counts = [now - then for then, now in zip(before, cluster.reads(), strict=True)]
            return max(counts) <= 0.4 * sum(counts)

        until(even, 90)


def test_the_hot_slot_is_isolated(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with aidb.connect(cluster.address) as db:
        db.put(KEY, b"value")
        db.put_many([(b"other %d" % number, b"v" * 100) for number in range(2_000)]).raise_for_errors()

        def planned() -> bool:
            arguments = ["rebalance", "--dry-run", "--by", "bytes", "--address", cluster.address]
            code = run(arguments, admin, "aidb-admin")
            return code == 0 and "BYTES" in capsys.readouterr().out

        until(planned, 60)
        arguments = ["isolate", "--key", KEY.decode(), "--address", cluster.address, "-o", "json"]
        assert run([*arguments, "--dry-run"], admin, "aidb-admin") == 0
        plan = json.loads(capsys.readouterr().out)
        assert {(move["from"], move["to"]) for move in plan["moves"]} == {(SHARD, 1 - SHARD)}
        assert run(arguments, admin, "aidb-admin") == 0, capsys.readouterr().err
        assert {move["step"] for move in json.loads(capsys.readouterr().out)} == {"committed"}
        owners = cluster.coordinator.topology().slot_owners
        kept = [slot for slot in range(16_384) if owners[2 * slot + 1] == SHARD]
        assert kept == [slot_of(KEY)]
        assert db.get(KEY) == b"value" and db.get(b"other 7") == b"v" * 100
        assert run(["isolate", "--address", cluster.address], admin, "aidb-admin") == 2
