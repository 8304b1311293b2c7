"""Mode `replica` (D5): a replica keeps the log's end, and whoever takes over gets it from there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from aidb_node._native import Store
from aidb_node.recovery.recover import recover
from aidb_node.recovery.tail import SealedTail, append, choose, seal_tails

from aidb.durability.fencing import seal_before
from aidb.durability.loss import Lossy
from aidb.durability.restore_plan import Target
from aidb.v1 import common_pb2 as common
from tests.backup.support import contents, open_store
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put, refusal
from tests.node.test_durability import Objects, durability, header


class Cluster:
    """One shard with two replicas, each on a node of its own, and an archive whose turn never comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects = Objects(path / "objects")
        self.coordinator = CoordinatorProcess(
            path / "coordinator", "--shards", "1", "--durability", "replica", *FAST
        )
        self.replicas: dict[str, NodeProcess] = {}
        self.primary = self.start_primary()
        # A restore begins with a snapshot.
        until(lambda: durability(self.primary).snapshot)

    def start_primary(self) -> NodeProcess:
        objects = ("--objects", self.objects.path.as_uri(), "--archive-every", "3600")
        return NodeProcess(self.coordinator.address, self.path / "shard-0", *objects, "--node", "n0").ready()

    def start_replica(self, name: str, node: str) -> NodeProcess:
        arguments = (self.coordinator.address, self.path / name, "--node", node)
        self.replicas[name] = NodeProcess(*arguments, role="replica", name=name).ready()
        return self.replicas[name]

    def tail_set(self) -> list[str]:
        return list(self.coordinator.topology().shards[0].tail_set)

    def seal(self, epoch: int) -> list[SealedTail]:
        topology = self.coordinator.topology()
        addresses = {one.name: one.address for one in topology.shards[0].replicas}
        members = [(name, addresses[name]) for name in self.tail_set()]
        return seal_tails(
            members,
            lambda address, options: grpc.insecure_channel(address, options=options),
            cluster_uid=topology.cluster_uid,
            shard=0,
            epoch=epoch,
            timeout=5.0,
        )

    def kill(self) -> None:
        for process in (*self.replicas.values(), self.primary):
            process.kill()
        self.coordinator.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.kill()


def keeping_log(path: Path) -> Store:
    return open_store(path, create=False, keep_log=True)


def test_what_members_hold_survives_the_primary_and_the_archive(cluster: Cluster) -> None:
    node, objects = cluster.primary, cluster.objects
    # Nobody keeps the tail yet: acknowledged when the store has it (D4).
    alone = put(node, b"alone", b"1").header.lsn
    assert alone <= durability(node).archived_lsn
    cluster.start_replica("r0", "n0")
    cluster.start_replica("r1", "n1")
    assert until(cluster.tail_set) == ["r1"], "r0 is on the primary's node"
    assert cluster.coordinator.status().shards[0].tail_set == ["r1"]

    objects.take_away()
    acknowledged = {b"alone": b"1"}
    for number in range(100):
        key = b"k%d" % number
        assert put(node, key, b"v", header=header(10)).version
        acknowledged[key] = b"v"
    found = durability(node)
    assert found.archived_lsn < found.held_lsn
    (member,) = [one for one in found.tail if one.member]
    assert (member.name, member.connected, member.lsn) == ("r1", True, found.held_lsn)
    refused = refusal(lambda: put(node, b"k0", b"w", header=header(0.5, common.DURABILITY_ARCHIVED)))
    assert refused.code == common.UNKNOWN_OUTCOME
    assert get(node, b"k1", header=header(5)).value == b"v"
    acknowledged.pop(b"k0")
    objects.bring_back()

    catalog = objects.catalog(node)
    epoch = catalog.newest_claim()
    node.signal(signal.SIGSTOP)
    seal_before(catalog, epoch + 1, "taker")
    tails = cluster.seal(epoch + 1)
    recover(catalog, cluster.path / "copy", Target())
    store = keeping_log(cluster.path / "copy" / "store")
    _, cut, clock = store.position()
    chosen = choose(cut, clock, tails)
    assert chosen.run is not None
    assert append(store, chosen.run) == chosen.run.last_lsn
    recovered = {key[3:]: value for key, value in contents(store).items()}
    store.flush()
    store.close()
    store = keeping_log(cluster.path / "copy" / "store")
    first = store.log_after(cut, 1)
    assert first is not None
    assert first[1] == cut, "the next epoch's archive begins with it"
    store.close()
    assert acknowledged.items() <= recovered.items()
    assert b"k99" in recovered
    # The old primary finds nobody who confirms, and a sealed log: nothing more is acknowledged.
    node.signal(signal.SIGCONT)
    refusal(lambda: put(node, b"late", b"1", header=header(3)))
    assert node.exit_code() == 1, "its log is sealed"


def test_a_silent_member_leaves_once_the_archive_covers_it(cluster: Cluster) -> None:
    node = cluster.primary
    first = cluster.start_replica("r1", "n1")
    assert until(cluster.tail_set) == ["r1"]
    put(node, b"a", b"1")
    first.signal(signal.SIGSTOP)
    safe = put(node, b"b", b"2", header=header(20)).header.lsn
    assert durability(node).archived_lsn >= safe
    until(lambda: cluster.tail_set() == [])
    first.signal(signal.SIGCONT)
    assert until(cluster.tail_set) == ["r1"]
    first.kill()
    cluster.start_replica("r2", "n2")
    assert until(lambda: cluster.tail_set() == ["r2"] and cluster.tail_set()) == ["r2"]
    put(node, b"c", b"3", header=header(20))


def test_a_restart_in_place_keeps_the_set_and_its_tail(cluster: Cluster) -> None:
    cluster.start_replica("r1", "n1")
    until(cluster.tail_set)
    cluster.objects.take_away()
    last = put(cluster.primary, b"a", b"1").header.lsn
    cluster.primary.kill()
    cluster.objects.bring_back()
    cluster.primary = cluster.start_primary()
    put(cluster.primary, b"b", b"2", header=header(20))
    found = durability(cluster.primary)
    assert found.held_lsn > last
    assert cluster.tail_set() == ["r1"]
    (tail,) = cluster.seal(cluster.coordinator.topology().shards[0].epoch)
    assert choose(durability(cluster.primary).archived_lsn, 0, [tail]).name == "r1"


def test_members_of_a_cluster_that_was_restarted_do_not_vouch_for_what_they_lost(cluster: Cluster) -> None:
    """The replica restarts with empty memory, and the primary is gone before it has the tail again (t42)."""
    node, objects = cluster.primary, cluster.objects
    replica = cluster.start_replica("r1", "n1")
    until(cluster.tail_set)
    objects.take_away()
    put(node, b"a", b"1", header=header(10))
    objects.bring_back()
    catalog = objects.catalog(node)
    node.signal(signal.SIGSTOP)
    replica.kill()
    cluster.start_replica("r1", "n1")
    epoch = catalog.newest_claim()
    seal_before(catalog, epoch + 1, "taker")
    tails = cluster.seal(epoch + 1)
    report = recover(catalog, cluster.path / "copy", Target())
    with pytest.raises(Lossy, match="r1 holds nothing: it has restarted"):
        choose(report.lsn, 0, tails)
