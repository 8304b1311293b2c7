"""The topology of a restored cluster is newer than all that was published, and contradicts nothing of it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aidb_coordinator import codec
from aidb_coordinator.restoring import Restored, restored, with_restored
from aidb_coordinator.store.file import FileStore
from aidb_coordinator.topology import (
    Cut,
    Move,
    MoveStep,
    Shard,
    SlotEpoch,
    SlotSpan,
    Successor,
    Topology,
    TopologyError,
    check,
    pack_owners,
)

from aidb.durability.cluster_plan import as_of, cluster_plan
from aidb.durability.restore_plan import Owned
from aidb.slots import SLOT_COUNT

HALF = SLOT_COUNT // 2


def document(boundary: int, version: int, epochs: tuple[int, int], **more: Any) -> Topology:
    """Slots below the boundary are shard 0's, the others shard 1's."""
    owners = pack_owners([0] * boundary + [1] * (SLOT_COUNT - boundary))
    shards = tuple(
        Shard(id=number, epoch=epoch, disk_id=f"disk-{number}", cuts=(Cut(1, 1000), Cut(2, 5000)))
        for number, epoch in enumerate(epochs)
    )
    return Topology("uid", owners, shards, version=version, term=3, **more)


DISKS = {0: Restored(9, "disk-a", 3000), 1: Restored(7, "disk-b", 800)}


def test_it_is_newer_than_everything_and_has_the_disks() -> None:
    then = document(HALF, 10, (3, 3))
    now = document(HALF, 50, (8, 6), moves=(Move("m", 1, (SlotSpan(0, 1),), 0, 8, 1, 6, MoveStep.FENCED),))
    made = restored(now, then, DISKS)
    check(made)
    assert (made.version, made.moves, made.slot_owners) == (51, (), then.slot_owners)
    assert [(shard.epoch, shard.disk_id) for shard in made.shards] == [(9, "disk-a"), (7, "disk-b")]
    assert made.shards[0].cuts == (Cut(1, 1000), Cut(2, 3000))
    assert made.shards[1].cuts == (Cut(1, 800), Cut(2, 800)), "sessions that saw more are told"
    assert made.slot_epochs == ()


def test_the_shards_are_those_of_then_and_no_id_is_used_again() -> None:
    then = document(HALF, 10, (3, 3))
    third = Shard(id=2, epoch=4, disk_id="disk-2")
    now = document(HALF, 50, (8, 6), next_shard=5)
    made = restored(replace(now, shards=(*now.shards, third)), then, DISKS)
    assert ([shard.id for shard in made.shards], made.next_shard) == ([0, 1], 5)
    fewer = replace(now, shards=now.shards[:1], next_shard=2)
    back = restored(fewer, then, DISKS)
    assert ([shard.id for shard in back.shards], back.next_shard) == ([0, 1], 5 - 3)
    assert back.shards[1].disk_id == "disk-b"


def test_slots_that_go_back_get_a_newer_epoch() -> None:
    then = document(HALF, 10, (3, 3), slot_epochs=(SlotEpoch(SlotSpan(5, 9), 1, 77),))
    moved = SlotEpoch(SlotSpan(HALF, HALF + 99), 4, 123)
    now = document(HALF + 100, 40, (8, 6), slot_epochs=(SlotEpoch(SlotSpan(5, 9), 1, 77), moved))
    made = restored(now, then, DISKS)
    assert made.slot_epochs == (SlotEpoch(SlotSpan(5, 9), 1, 77), SlotEpoch(moved.span, 5, 0))


def test_after_a_restore_of_one_shard_the_others_stay() -> None:
    now = document(HALF, 50, (8, 6))
    taken = replace(now.shards[1], successor=Successor(2, False, "gone", 7, "disk-x"))
    made = with_restored(replace(now, shards=(now.shards[0], taken)), 1, Restored(7, "disk-1", 3000))
    expected = replace(now.shards[1], epoch=7, cuts=(Cut(1, 1000), Cut(2, 3000)))
    assert made.shards == (now.shards[0], expected), "the takeover is over"
    assert made.version == 51
    assert with_restored(made, 1, Restored(7, "disk-1", 3000)) is made
    assert with_restored(made, 7, Restored(7, "disk-1", 3000)) is made


def test_what_cannot_be_is_refused() -> None:
    then = document(HALF, 10, (3, 3))
    with pytest.raises(TopologyError, match="not those of the topology"):
        restored(then, then, {0: DISKS[0]})
    with pytest.raises(TopologyError, match="is of uid"):
        restored(replace(then, cluster_uid="other"), then, DISKS)


def test_shards_go_through_their_acquisitions() -> None:
    """D9: a slot acquired at a later LSN than the time would give."""
    acquired = (
        SlotEpoch(SlotSpan(5, 9), 1, 77),
        SlotEpoch(SlotSpan(10, 11), 1, 99),
        SlotEpoch(SlotSpan(HALF, HALF), 2, 5),
    )
    then = document(HALF, 10, (3, 4), slot_epochs=acquired)
    plans = cluster_plan(codec.to_proto(then), [codec.to_proto(document(HALF, 11, (8, 3)))], 1_000)
    assert [(plan.shard, plan.target.least_lsn, plan.epoch) for plan in plans] == [(0, 99, 8), (1, 5, 4)]
    assert {plan.target.clock_ms for plan in plans} == {1_000}
    assert [plan.target.least_lsn for plan in cluster_plan(codec.to_proto(then), [])] == [0, 0]


def test_moves_that_the_archive_missed_count_from_when_they_were_committed() -> None:
    """D9: the coordinator died after a commit, before its next version was kept."""
    then = document(HALF, 10, (3, 3))
    first = Move("m", 1, (SlotSpan(5, 9),), 0, 3, 1, 3, MoveStep.COMMITTED, "", 500, 77)
    again = Move("n", 1, (SlotSpan(9, 9),), 1, 3, 0, 3, MoveStep.COMMITTED, "", 600, 99)
    later = codec.to_proto(replace(document(HALF, 14, (3, 3)), moves=(first, again)))
    early = codec.to_proto(then)
    assert as_of(early, later, 499) == early
    assert as_of(early, None, 700) == early
    moved = codec.from_proto(as_of(early, later, 500))
    assert (moved.owner(5), moved.owner(9), moved.owner(10)) == (1, 1, 0)
    assert dict(cuts(moved)) == {0: 0, 1: 77}
    both = codec.from_proto(as_of(early, later, 600))
    assert (both.owner(5), both.owner(9)) == (1, 0)
    assert dict(cuts(both)) == {0: 99, 1: 77}
    known = codec.to_proto(replace(document(HALF, 12, (3, 3)), moves=(first,)))
    assert as_of(known, later, 550) == known


def cuts(topology: Topology) -> Iterator[tuple[int, int]]:
    for plan in cluster_plan(codec.to_proto(topology), [], 1_000):
        yield plan.shard, plan.target.least_lsn


def test_a_shard_keeps_what_it_owned_then() -> None:
    """D9: it may have deleted slots by then, by its own clock, which the coordinator's says were its."""
    then = document(HALF, 10, (3, 4), slot_epochs=(SlotEpoch(SlotSpan(5, 9), 1, 77),))
    target, other = (plan.target for plan in cluster_plan(codec.to_proto(then), [], 1_000))
    assert target.owned == (Owned(0, 4, 0), Owned(5, 9, 77), Owned(10, HALF - 1, 0))
    assert target.gives_up(78, 9, 9)
    assert not target.gives_up(77, 9, 9), "the wipe that its import began with"
    assert target.gives_up(1, 0, HALF)
    assert not target.gives_up(100, HALF, HALF + 7)
    assert other.gives_up(100, HALF, HALF + 7)


def encoded(topology: Topology) -> str:
    return base64.b64encode(codec.to_proto(topology).SerializeToString()).decode()


def program(data: Path, asked: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "aidb_coordinator.restoring", "--data", str(data)]
    return subprocess.run(command, input=json.dumps(asked).encode(), capture_output=True, check=False)


def test_the_program_writes_it_where_the_coordinator_looks(tmp_path: Path) -> None:
    assert json.loads(program(tmp_path / "new", {"show": True}).stdout) == {"topology": None}
    then = document(HALF, 10, (3, 3))
    shards = [
        {"id": number, "epoch": disk.epoch, "disk_id": disk.disk_id, "lsn": disk.lsn}
        for number, disk in DISKS.items()
    ]
    newest = document(HALF, 12, (8, 6))
    asked = {"then": encoded(then), "newest": encoded(newest), "shards": shards}
    assert program(tmp_path / "new", asked).returncode == 0
    store = FileStore(tmp_path / "new")
    stored = store.load()
    assert stored is not None
    assert stored.topology == restored(newest, then, DISKS)
    assert stored.topology.version == 13
    refused = program(tmp_path / "new", asked)
    store.close()
    assert refused.returncode == 2
    assert b"another coordinator runs" in refused.stderr
