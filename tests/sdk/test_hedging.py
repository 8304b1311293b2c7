"""Reads that a silent replica does not answer: a second one goes elsewhere, within a budget."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import aidb
import aidb.aio
from aidb.balance import rendezvous_order
from aidb.hedging import SAMPLES, HedgeCounts
from aidb.local.ports import free_ports
from aidb.topology import Member, View
from aidb.v1 import cluster_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.evidence.peers import connected_from
from tests.evidence.proxy import Proxy
from tests.node.process import NodeProcess

NAMES = ("shard-0-replica-0", "shard-0-replica-1")
# A read that is not hedged finds another member after this time.
ALONE = aidb.Retry(read_attempt_timeout=0.2)


@dataclass
class Silenced:
    """A shard with two replicas; the way of this process to the first goes through ``proxy``."""

    address: str
    proxy: Proxy

    def keys(self, count: int) -> list[bytes]:
        """Keys that are read from the first replica first."""
        members = [Member(name, "") for name in NAMES]
        named = (b"hedge:%d" % number for number in range(100 * count))
        found = [key for key in named if rendezvous_order(members, key)[0].name == NAMES[0]]
        return found[:count]


def readable(coordinator: CoordinatorProcess) -> set[str]:
    view = View.of(coordinator.discovery.GetTopology(pb.GetTopologyRequest(), timeout=10))
    return {replica.name for replica in view.shards[0].replicas}


@pytest.fixture
def silenced(tmp_path: Path) -> Iterator[Silenced]:
    coordinator = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *FAST)
    (port,) = free_ports(1)
    started: list[NodeProcess] = []

    def owner(peer: int, port: int) -> str:
        return "client" if connected_from([os.getpid()], peer, port) else "other"

    def start(name: str, role: str, *arguments: str, listen: str = "127.0.0.1:0") -> None:
        node = NodeProcess(
            coordinator.address, tmp_path / name, *arguments, listen=listen, role=role, name=name
        )
        started.append(node)
        node.ready()

    with Proxy(port, owner, random.Random(1)) as proxy:
        try:
            start("shard-0-primary", "primary")
            advertised = f"127.0.0.1:{proxy.port}"
            start(NAMES[0], "replica", "--advertise", advertised, listen=f"127.0.0.1:{port}")
            start(NAMES[1], "replica")
            until(lambda: readable(coordinator) == set(NAMES))
            yield Silenced(coordinator.address, proxy)
        finally:
            for node in started:
                node.kill()
            coordinator.kill()


def test_a_silent_replica_is_overtaken(silenced: Silenced) -> None:
    keys = silenced.keys(2 * SAMPLES)
    hedge = aidb.Hedge(extra=1.0)
    with aidb.connect(silenced.address, hedge=hedge, timeout=30.0) as db:
        db.put_many([(key, key) for key in keys]).raise_for_errors()
        assert [db.get(key) for key in keys] == keys
        before = db.hedges
        silenced.proxy.hold("client")
        assert db.get(keys[0]) == keys[0]
        silenced.proxy.release("client")
        assert (db.hedges.sent - before.sent, db.hedges.won - before.won) == (1, 1)


async def test_asyncio_overtakes_too_and_a_session_still_reads_its_own_writes(silenced: Silenced) -> None:
    keys = silenced.keys(2 * SAMPLES)
    hedge = aidb.Hedge(extra=1.0)
    async with aidb.aio.connect(silenced.address, hedge=hedge, timeout=30.0) as db:
        for key in keys:
            await db.put(key, b"old")
            assert await db.get(key) == b"old"
        before = db.hedges
        silenced.proxy.hold("client")
        await db.put(keys[0], b"new")
        assert await db.get(keys[0]) == b"new"
        silenced.proxy.release("client")
        assert (db.hedges.sent - before.sent, db.hedges.won - before.won) == (1, 1)


def test_the_budget_caps(silenced: Silenced) -> None:
    keys = silenced.keys(2 * SAMPLES)
    hedge = aidb.Hedge(extra=0.01, burst=1.0)
    with aidb.connect(silenced.address, hedge=hedge, retry=ALONE, timeout=30.0) as db:
        db.put_many([(key, key) for key in keys]).raise_for_errors()
        assert [db.get(key) for key in keys] == keys
        silenced.proxy.hold("client")
        assert db.get(keys[0]) == keys[0], "by waiting for the attempt's end"
        silenced.proxy.release("client")
        assert db.hedges.sent == 0
        assert db.hedges.denied > 0


def test_strong_reads_and_writes_are_never_hedged(silenced: Silenced) -> None:
    keys = silenced.keys(2 * SAMPLES)
    with aidb.connect(silenced.address, hedge=aidb.Hedge(extra=1.0, least=0.0)) as db:
        for key in keys:
            db.put(key, key)
            assert db.get(key, consistency="strong") == key
        assert db.hedges == HedgeCounts()
