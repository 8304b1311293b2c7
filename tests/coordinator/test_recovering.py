"""The document of a restore: nobody of before serves on, nothing of before is contradicted (D9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aidb_coordinator import codec, recovering
from aidb_coordinator import topology as topologies
from aidb_coordinator.registration import DiskClaim, Grant, admit
from aidb_coordinator.topology import (
    Cut,
    Move,
    MoveStep,
    Recovery,
    Shard,
    SlotEpoch,
    SlotSpan,
    Successor,
    Topology,
    TopologyError,
    check,
    pack_owners,
)

from aidb.slots import SLOT_COUNT
from tests.coordinator.values import primary, replica, router

HALF = SLOT_COUNT // 2
BACK = Recovery("back", "uid", clock_ms=1_000)


def document(boundary: int, version: int, *shards: Shard, **more: Any) -> Topology:
    """Slots below the boundary are the first shard's, the others the second's."""
    owners = [shards[0].id] * boundary + [shards[1].id] * (SLOT_COUNT - boundary)
    return Topology("uid", pack_owners(owners), shards, version=version, term=3, **more)


def shard(number: int, epoch: int, **more: Any) -> Shard:
    cuts = (Cut(1, 1000), Cut(2, 5000))
    fields: dict[str, Any] = {"disk_id": f"disk-{number}", "cuts": cuts, "primary": primary(number)} | more
    return Shard(id=number, epoch=epoch, **fields)


THEN = document(HALF, 10, shard(0, 3), shard(1, 3), durability=topologies.Durability.REPLICA)
NOW = document(
    100,
    50,
    shard(0, 8, replicas=(replica(0),), successor=Successor(4, False, epoch=9, disk_id="s"), incarnation=3),
    shard(1, 6, tail_set=("x",)),
    shard(2, 2),
    moves=(Move("m", 1, (SlotSpan(0, 1),), 0, 8, 1, 6, MoveStep.FENCED),),
    routers=(router(),),
    slot_epochs=(SlotEpoch(SlotSpan(100, HALF - 1), 4, 777),),
)


def test_a_cluster_goes_back_to_its_slots_in_newer_epochs() -> None:
    made = recovering.whole_cluster(NOW, THEN, {0: 12, 1: 6}, BACK)
    check(made)
    assert made == codec.from_json(codec.to_json(made))
    assert (made.version, made.moves, made.slot_owners) == (51, (), THEN.slot_owners)
    assert [(one.id, one.epoch, one.incarnation, one.disk_id) for one in made.shards] == [
        (0, 13, 5, ""),
        (1, 7, 2, ""),
    ]
    assert all(one.recovery == BACK and one.primary is None and one.successor is None for one in made.shards)
    assert made.shards[0].replicas == (replica(0),)
    assert made.routers == NOW.routers
    assert made.free_id == 3, "an id is never given out again"
    assert made.slot_epochs == (SlotEpoch(SlotSpan(100, HALF - 1), 5, 0),), "these slots change hands"
    assert recovering.waiting(made, "back") == recovering.of_restore(made, "back") == (0, 1)


def test_a_shard_that_was_let_go_since_comes_back_as_another_incarnation() -> None:
    gone = document(HALF, 50, shard(0, 8), shard(2, 1))
    made = recovering.whole_cluster(
        gone, replace(THEN, shards=(shard(0, 3), shard(1, 3))), {0: 8, 1: 5}, BACK
    )
    assert [(one.id, one.epoch, one.incarnation) for one in made.shards] == [(0, 9, 2), (1, 6, 6)]


def test_a_new_cluster_has_the_source_s_slots_and_none_of_its_members() -> None:
    made = recovering.new_cluster(NOW, THEN, {0: 12, 1: 0}, BACK, "new-uid")
    check(made)
    assert (made.cluster_uid, made.version, made.term) == ("new-uid", 51, 0)
    assert made.slot_owners == THEN.slot_owners
    assert made.members == {}
    assert made.shards[0] == Shard(0, 13, cuts=(Cut(1, 1000), Cut(2, 5000)), recovery=BACK)
    assert made.shards[1].fresh


def test_what_was_seen_beyond_is_told_when_the_restored_disk_registers() -> None:
    made = recovering.whole_cluster(NOW, THEN, {0: 12, 1: 6}, BACK)
    disk = DiskClaim("new-disk", 13, 14, 3000)
    after, grant = admit(made, primary(0, "127.0.0.1:7009", "shard-0-primary-5"), disk)
    assert grant == Grant(14, Cut(13, 3000))
    placed = after.shard(0)
    assert placed is not None
    assert (placed.recovery, placed.restored_by, placed.epoch) == (None, "back", 14)
    assert placed.cuts == (Cut(1, 1000), Cut(2, 3000), Cut(13, 3000))
    assert recovering.waiting(after, "back") == (1,)
    assert recovering.of_restore(after, "back") == (0, 1)
    again, granted = admit(after, primary(0, "127.0.0.1:7009", "shard-0-primary-5"), replace(disk))
    assert (again, granted) == (after, grant), "its answer was lost"


def test_one_shard_goes_back_and_its_moves_begin_anew() -> None:
    made = recovering.one_shard(NOW, 1, 6, replace(BACK, clock_ms=0, lsn=900))
    check(made)
    assert (made.shards[0], made.shards[2]) == (NOW.shards[0], NOW.shards[2])
    assert (made.moves[0].step, made.moves[0].attempt) == (MoveStep.WAITING, 2)
    with pytest.raises(TopologyError, match="acquired slots at lsn 777"):
        recovering.one_shard(NOW, 1, 6, replace(BACK, clock_ms=0, lsn=776))
    with pytest.raises(TopologyError, match="never had a primary"):
        recovering.one_shard(NOW, 1, 0, BACK)
