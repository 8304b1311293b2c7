"""What may be asked for, and controlled; what the journal and the provisioner's file keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aidb_coordinator.rebalance import PlannedMove
from aidb_coordinator.scaling.controls import control
from aidb_coordinator.scaling.journal import FILE, FileJournal, give_up
from aidb_coordinator.scaling.local import LocalProvisioner
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.scaling.provisioner import ProvisionError
from aidb_coordinator.scaling.requests import InTheWay, Limits, Refused, Request, accept
from aidb_coordinator.scaling.room import Room, check_room
from aidb_coordinator.slot_load import By
from aidb_coordinator.store import StoreError
from aidb_coordinator.topology import SlotSpan, TopologyError, add_shards, drop_shards

from aidb.local import replicas
from tests.coordinator.values import topology

LIMITS = Limits(max_shards=4, max_replicas=3, replicas=1)
NONE: Mapping[int, tuple[str, ...]] = {}


def accepted(
    kind: Kind,
    provisioned: Mapping[int, tuple[str, ...]] = NONE,
    others: Sequence[Operation] = (),
    **fields: Any,
) -> Operation:
    request = Request("new", kind, **fields)
    return accept(request, topology(3), provisioned, others, LIMITS, 1_000)


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        (Kind.ADD_SHARD, {"count": 2}, "5 shards are more than there may be: 4"),
        (Kind.ADD_SHARD, {"count": 0}, "0 is no number"),
        (Kind.ADD_SHARD, {"replicas": 4}, "0 to 3 replicas"),
        (Kind.REMOVE_SHARD, {}, "which shards"),
        (Kind.REMOVE_SHARD, {"shards": (7,)}, "no shard 7"),
        (Kind.REMOVE_SHARD, {"shards": (0, 1, 2)}, "one stays at least"),
        (Kind.ADD_REPLICA, {"shards": (0,), "count": 4}, "3 replicas, not 4"),
        (Kind.ADD_REPLICA, {"shards": (0, 1)}, "of which shard"),
        (Kind.REMOVE_REPLICA, {"shards": (0,)}, "has 0 replicas"),
        (Kind.REMOVE_REPLICA, {"shards": (0,), "names": ("router-0",)}, "no replica of shard 0"),
        (Kind.REBALANCE, {"by": By.LOAD}, "load of single slots is not measured"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: Kind, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        accepted(kind, **fields)


def test_new_shards_get_ids_that_never_were() -> None:
    assert accepted(Kind.ADD_SHARD).shards == (3,)
    document = drop_shards(add_shards(topology(1), (1, 2)), (2,))
    assert (document.free_id, [shard.id for shard in document.shards]) == (3, [0, 1])
    with pytest.raises(TopologyError, match="never given out again"):
        add_shards(document, (2,))
    assert drop_shards(document, (2,)) is document, "gone already"
    with pytest.raises(TopologyError, match="shard 0 owns 16384 slots"):
        drop_shards(document, (0,))
    with pytest.raises(TopologyError, match="the last shard"):
        drop_shards(document, (0, 1))


def test_one_change_of_the_shards_at_a_time_and_replicas_beside_it() -> None:
    under_way = accepted(Kind.ADD_SHARD)
    for kind in (Kind.ADD_SHARD, Kind.REMOVE_SHARD, Kind.REBALANCE):
        with pytest.raises(InTheWay, match=r"operation new \(add shard 3\) is running"):
            accepted(kind, others=[under_way], shards=(1,))
    replica = accepted(Kind.ADD_REPLICA, others=[under_way], shards=(1,))
    assert (replica.replicas, replica.phase) == (1, Phase.PROVISIONING)
    with pytest.raises(InTheWay, match="of the same shard"):
        accepted(Kind.REMOVE_SHARD, others=[replica], shards=(1,))


def test_the_newest_replicas_go_unless_others_are_named() -> None:
    provisioned = {0: ("shard-0-replica-2", "shard-0-replica-1")}
    newest = accepted(Kind.REMOVE_REPLICA, provisioned, shards=(0,))
    assert (newest.names, newest.replicas) == (("shard-0-replica-1",), 1)
    named = accepted(Kind.REMOVE_REPLICA, provisioned, shards=(0,), names=("shard-0-replica-2",))
    assert named.names == ("shard-0-replica-2",)


def test_controls() -> None:
    running = accepted(Kind.REMOVE_SHARD, shards=(2,))
    paused = control(running, "pause", 5)
    assert paused.state is State.PAUSED
    assert control(paused, "resume", 5) == running
    provisioning = control(accepted(Kind.ADD_SHARD), "pause", 5)
    assert control(provisioning, "resume", 9_000).since_ms == 9_000, "programs have their whole time again"
    cancelled = control(paused, "cancel", 5)
    assert cancelled.state is State.CANCELLING
    assert control(cancelled, "cancel", 6) is cancelled
    with pytest.raises(Refused, match="being cancelled"):
        control(cancelled, "resume", 6)
    with pytest.raises(Refused, match="about to be gone"):
        control(replace(running, phase=Phase.RETIRING), "cancel", 5)
    with pytest.raises(Refused, match="asked for again"):
        control(replace(running, state=State.DONE), "pause", 5)
    with pytest.raises(Refused, match="none of pause, resume, cancel"):
        control(running, "stop", 5)


def test_the_journal_keeps_operations_whole_and_refuses_damage(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    assert journal.load() == ()
    plan = (PlannedMove((SlotSpan(0, 9), SlotSpan(12, 12)), 0, 3), PlannedMove((SlotSpan(20, 29),), 1, 3))
    kept = (
        replace(accepted(Kind.ADD_SHARD), plan=plan, plans=2, moved=5, error="why"),
        accepted(Kind.REBALANCE),
    )
    journal.save(kept)
    assert FileJournal(tmp_path).load() == kept
    give_up(journal, 7_000)
    assert {(one.state, one.since_ms, one.plan) for one in journal.load()} == {(State.FAILED, 7_000, ())}
    journal.save(kept)
    content = (tmp_path / FILE).read_bytes()
    for damaged in (content[:-20], content.replace(b'"target":3', b'"target":2'), b"[]", b'{"magic":"x"}'):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(StoreError, match="is damaged"):
            journal.load()


def test_the_local_provisioner_keeps_what_it_was_told(tmp_path: Path) -> None:
    provisioner = LocalProvisioner(tmp_path, (0,), usual=2)
    assert provisioner.observe() == {0: ("shard-0-replica-0", "shard-0-replica-1")}
    for _ in range(2):
        provisioner.ensure_shard(4, 1)
        provisioner.ensure_replicas(0, 1, ("shard-0-replica-0",))
        assert provisioner.observe() == {0: ("shard-0-replica-1",), 4: ("shard-4-replica-0",)}
    provisioner.ensure_shard(4, 3)
    assert provisioner.observe()[4] == ("shard-4-replica-0",), "one that is there keeps what it has"
    provisioner.ensure_replicas(0, 3)
    assert replicas.read(tmp_path / replicas.FILE) == {0: (1, 0, 2), 4: (0,)}
    provisioner.remove_shard(4)
    assert LocalProvisioner(tmp_path, (0, 5), usual=2).observe().keys() == {0, 5}
    (tmp_path / replicas.FILE).write_text("[1, 2]")
    with pytest.raises(ProvisionError, match="is damaged"):
        LocalProvisioner(tmp_path, (0,), usual=2)


GIB = 1 << 30


@pytest.mark.parametrize(
    ("rooms", "why"),
    [
        ({0: Room("a", 5 * GIB), 1: Room("b", 5 * GIB), 2: Room("c", 0)}, ""),
        (
            {0: Room("a", 2 * GIB), 1: Room("b", 2 * GIB), 2: Room("c", 9 * GIB)},
            "others: they have 4,096 MiB",
        ),
        (
            {0: Room("a", 3 * GIB), 1: Room("a", 3 * GIB), 2: Room("c", 9 * GIB)},
            "others: they have 3,072 MiB",
        ),
        ({0: Room("a", 1 * GIB), 1: Room("a", 1 * GIB), 2: Room("a", 1 * GIB)}, ""),
        ({0: Room("a", 400_000_000), 1: Room("a", 0), 2: Room("a", 0)}, "needs 870 MiB free"),
        ({0: Room("a", 0), 1: Room("b", 0)}, ""),
    ],
    ids=[
        "fits",
        "too much",
        "one disk for both",
        "within a disk",
        "no room for what is on its way",
        "not known",
    ],
)
def test_what_does_not_fit_is_not_moved(rooms: Mapping[int, Room], why: str) -> None:
    sizes = {0: 1 * GIB, 1: 1 * GIB, 2: 6 * GIB}
    if not why:
        check_room((2,), topology(3), sizes, rooms)
        return
    with pytest.raises(Refused, match=f"shard 2 has 6,144 MiB, .*{why}"):
        check_room((2,), topology(3), sizes, rooms)
