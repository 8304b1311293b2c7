"""What a router does about a replica that is silent: hedge, and leave it alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aidb.balance import rendezvous_order
from aidb.local.ports import free_ports
from aidb.topology import Member, View
from aidb.v1 import cluster_pb2
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import CoordinatorProcess, until
from tests.evidence.peers import connected_from
from tests.evidence.proxy import Proxy
from tests.node.process import NodeProcess, get, put

NAMES = ("shard-0-replica-0", "shard-0-replica-1")
# Reads before the router may know how long answers take, and has earned a hedge.
EXPERIENCE = 40


@dataclass
class Silenced:
    """A shard with two replicas; the way of the router to the first goes through ``proxy``."""

    proxy: Proxy
    router: NodeProcess
    strict: NodeProcess

    def hold(self) -> None:
        self.proxy.hold("router")
        self.proxy.hold("strict")


def readable(coordinator: CoordinatorProcess) -> set[str]:
    view = View.of(coordinator.discovery.GetTopology(cluster_pb2.GetTopologyRequest(), timeout=10))
    return {replica.name for replica in view.shards[0].replicas}


@pytest.fixture
def silenced(alone: CoordinatorProcess, tmp_path: Path) -> Iterator[Silenced]:
    (port,) = free_ports(1)
    started: dict[str, NodeProcess] = {}

    def owner(peer: int, port: int) -> str:
        for name in ("router", "strict"):
            if name in started and connected_from([started[name].process.pid], peer, port):
                return name
        return "other"

    def start(name: str, role: str, *arguments: str, listen: str = "127.0.0.1:0") -> NodeProcess:
        node = NodeProcess(alone.address, tmp_path / name, *arguments, listen=listen, role=role, name=name)
        started[name] = node
        return node.ready()

    with Proxy(port, owner, random.Random(1)) as proxy:
        try:
            start("shard-0-primary", "primary")
            start(NAMES[0], "replica", "--advertise", f"127.0.0.1:{proxy.port}", listen=f"127.0.0.1:{port}")
            start(NAMES[1], "replica")
            until(lambda: readable(alone) == set(NAMES))
            yield Silenced(
                proxy,
                start("router", "router", "--threads", "1", "--hedge-percent", "100"),
                start("strict", "router", "--threads", "1", "--hedge-percent", "0"),
            )
        finally:
            for node in started.values():
                node.kill()


def keys_of_the_first() -> list[bytes]:
    members = [Member(name, "") for name in NAMES]
    named = (b"hedge:%d" % number for number in range(100 * EXPERIENCE))
    return [key for key in named if rendezvous_order(members, key)[0].name == NAMES[0]][:EXPERIENCE]


def stats(router: NodeProcess) -> pb.RouterStats:
    answer: pb.GetStatsResponse = router.storage.GetStats(pb.GetStatsRequest(), timeout=10)
    return answer.router


def test_a_silent_replica_is_overtaken(silenced: Silenced) -> None:
    router, keys = silenced.router, keys_of_the_first()
    for key in keys:
        put(router, key, key)
        assert get(router, key).value == key
    before = stats(router)
    silenced.hold()
    assert get(router, keys[0]).value == keys[0]
    after = stats(router)
    assert (after.hedges - before.hedges, after.hedges_won - before.hedges_won) == (1, 1)
    assert after.ejections == 0, "the overtaken call was cancelled, it has not failed"


def test_without_hedges_it_times_out_and_is_left_alone(silenced: Silenced) -> None:
    router, keys = silenced.strict, keys_of_the_first()
    for key in keys:
        put(router, key, key)
        assert get(router, key).value == key
    silenced.hold()
    assert get(router, keys[0]).value == keys[0]
    counts = stats(router)
    assert (counts.hedges, counts.ejections) == (0, 1)
