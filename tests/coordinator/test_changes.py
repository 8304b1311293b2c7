"""Every version of the topology is told: what changed, on whose behalf; bounded, and over restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aidb_coordinator import changes, moves, origin, succession
from aidb_coordinator import topology as topologies
from aidb_coordinator.changes import ChangeLog, differences
from aidb_coordinator.topology import Durability, Shard, SlotSpan, Topology

from tests.coordinator.values import primary, replica, router, topology


def told(before: Topology, after: Topology) -> list[str]:
    return list(differences(before, after))


def granted(document: Topology, shard: int, epoch: int) -> Topology:
    return topologies.grant_epoch(document, primary(shard), epoch=epoch, disk_id=f"d{shard}", cut=None)


def test_a_move_is_told_step_by_step() -> None:
    document = granted(granted(topology(2), 0, 1), 1, 1)
    wanted, _ = moves.add(document, "m", [SlotSpan(0, 9), SlotSpan(20, 20)], 0, 1)
    assert told(document, wanted) == [
        "move m is wanted: 11 slots from shard 0 to 1",
        "feature level 1 -> 2",
    ]
    prepared, _ = moves.prepare(wanted, "m")
    assert told(wanted, prepared) == ["move m is prepared"]
    aborted, _ = moves.abort(prepared, "m", 1, "silence")
    assert told(prepared, aborted) == ["move m is waiting, attempt 2: silence"]
    again, _ = moves.prepare(aborted, "m")
    fenced, _ = moves.fence(again, "m", 2, source_lsn=7)
    done, _ = moves.commit(fenced, "m", 2, since_lsn=9, at_ms=1)
    assert told(fenced, done) == [
        "11 slots (0-9,20) from shard 0 to shard 1",
        "move m is committed",
    ]


def test_members_epochs_and_shards_are_told() -> None:
    first = topology(1)
    second = granted(first, 0, 1)
    assert told(first, second) == ["epoch 1 of shard 0: shard-0-primary at 127.0.0.1:7001"]
    third = topologies.put_replica(second, replica())
    assert told(second, third) == ["shard-0-replica-0 of shard 0 is new, at 127.0.0.1:7002"]
    moved = topologies.put_replica(third, replica(address="h:2"))
    assert told(third, moved) == ["shard-0-replica-0 of shard 0 is at h:2"]
    assert told(moved, second) == ["shard-0-replica-0 of shard 0 is gone"]
    routed = topologies.put_router(second, router())
    assert told(second, routed) == ["router-0 is new, at 127.0.0.1:7003"]
    grown = replace(second, shards=(*second.shards, Shard(7)))
    assert (told(second, grown), told(grown, second)) == (["shard 7 is new"], ["shard 7 is gone"])
    archived = replace(second, durability=Durability.ARCHIVED)
    assert told(second, archived) == ["durability async -> archived"]
    wanted, _ = succession.want(second, 0, planned=True, reason="upgrade")
    assert told(second, wanted) == ["incarnation 2 of shard 0 is wanted, a hand-over: upgrade"]


def log(directory: Path, capacity: int = 10) -> ChangeLog:
    return ChangeLog(directory / "changes.jsonl", lambda: 1234, capacity)


def test_they_outlive_the_coordinator_and_are_bounded(tmp_path: Path) -> None:
    first = log(tmp_path)
    document = topology(1)
    first.begin(document)
    for epoch in range(1, 26):
        after = granted(document, 0, epoch)
        first.changed(document, after, ["a (Register)", "b (Register)", "a (Register)"])
        document = after
        first.write(first.unwritten())
    again = log(tmp_path)
    assert again.after(0, 100) == first.after(0, 100)
    assert [change.version for change in again.after(0, 100)] == list(
        range(document.version - 9, document.version + 1)
    )
    assert [change.version for change in again.after(document.version - 3, 2)] == [
        document.version - 1,
        document.version,
    ]
    newest = again.after(0, 1)[0]
    assert (newest.by, newest.unix_ms) == ("a (Register), b (Register)", 1234)
    assert len((tmp_path / "changes.jsonl").read_text().splitlines()) <= 20


def test_what_happened_without_a_coordinator_is_said_to_be_unknown(tmp_path: Path) -> None:
    first = log(tmp_path)
    first.begin(topology(1))
    first.write(first.unwritten())
    again = log(tmp_path)
    again.begin(topology(1))
    assert len(again.after(0, 100)) == 1, "a restart is no change"
    again.begin(replace(topology(1), version=9))
    (_, restored) = again.after(0, 100)
    assert (restored.version, restored.by) == (9, "unknown")
    assert "while no coordinator ran" in restored.what[0]


def test_one_version_is_told_in_bounded_words(tmp_path: Path) -> None:
    crowd = tuple(replica(number=number) for number in range(1_000))
    before = topology(1)
    after = topologies.with_shard(before, replace(before.shards[0], replicas=crowd))
    kept = log(tmp_path)
    kept.changed(before, after, ["x"])
    assert len(kept.after(0, 1)[0].what) == changes.MOST_TOLD + 1
    assert kept.after(0, 1)[0].what[-1] == "and more"


def test_who_is_known_in_what_is_done_for_them() -> None:
    assert origin.current() == origin.COORDINATOR
    with origin.acting_for("operation 7"):
        assert origin.current() == "operation 7"
    assert origin.current() == origin.COORDINATOR
    assert origin.of_request("Register", "shard-0-primary", "ipv4:1.2.3.4:5") == "shard-0-primary (Register)"
    assert origin.of_request("MoveSlots", "", "ipv4:1.2.3.4:5") == "1.2.3.4:5 (MoveSlots)"
