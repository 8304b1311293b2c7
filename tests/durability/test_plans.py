"""Lineage, snapshots, retention, restores: pure plans against what they promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidb.durability.envelope import Malformed
from aidb.durability.identity import Place
from aidb.durability.lineage import END, Branch, lineage
from aidb.durability.manifest import File, Manifest
from aidb.durability.names import Names, last_number
from aidb.durability.piece import Start
from aidb.durability.restore_plan import Step, Target, eligible, steps
from aidb.durability.retention_plan import Inventory, Policy, RetentionPlan, retention_plan
from aidb.durability.snapshot_plan import snapshot_plan
from aidb.objects.store import Stat

NAMES = Names("uid", 0)
NOW = 1_000_000_000.0
DAY = 86_400.0


def sha(number: int) -> str:
    return f"{number:064x}"


def file(number: int, size: int = 10) -> File:
    return File(f"sst/{number:016}.sst", size, sha(number))


def manifest(
    epoch: int,
    sequence: int,
    lsn: int = 1,
    *,
    files: tuple[File, ...] = (),
    log: tuple[int, int] | None = None,
    age: float = 0.0,
    clock_ms: int = 0,
) -> Manifest:
    at_ms = int((NOW - age) * 1000)
    place = Place("uid", 0, epoch, sequence)
    return Manifest(place, "id", "", lsn, clock_ms, epoch, at_ms, log, files, b"")


# --- lineage ---


def walk(newest: int, starts: dict[int, Start | None]) -> list[Branch]:
    return list(lineage(newest, lambda epoch: starts[epoch]))


def test_restarts_in_place_keep_everything() -> None:
    starts: dict[int, Start | None] = {3: Start(2, 200), 2: Start(1, 100), 1: Start(0, 0)}
    assert walk(3, starts) == [Branch(3, END), Branch(2, 200), Branch(1, 100)]


def test_epochs_that_nobody_wrote_in_are_passed() -> None:
    starts: dict[int, Start | None] = {4: Start(3, 100), 3: None, 2: None, 1: Start(0, 0)}
    assert walk(4, starts) == [Branch(4, END), Branch(3, 100), Branch(2, 100), Branch(1, 100)]


def test_a_restore_to_an_earlier_point_leaves_the_rest_of_the_old_epochs_out() -> None:
    starts: dict[int, Start | None] = {
        5: Start(2, 150),
        4: Start(3, 300),
        3: Start(2, 200),
        2: Start(1, 100),
        1: None,
    }
    assert walk(5, starts) == [Branch(5, END), Branch(2, 150), Branch(1, 100)]
    assert walk(4, starts)[:2] == [Branch(4, END), Branch(3, 300)]


def test_a_cut_below_an_older_one_holds_for_all_before() -> None:
    starts: dict[int, Start | None] = {3: Start(2, 50), 2: Start(1, 100), 1: Start(0, 0)}
    assert walk(3, starts) == [Branch(3, END), Branch(2, 50), Branch(1, 50)]


def test_a_circle_is_malformed() -> None:
    with pytest.raises(Malformed, match="epoch 2 says that it continues epoch 2"):
        walk(2, {2: Start(2, 5)})


# --- snapshots ---


def test_only_what_is_missing_is_uploaded_and_once() -> None:
    plan = snapshot_plan([file(1), file(2, 30), file(3, 20), file(3, 20)], {sha(1), sha(9)})
    assert [one.sha256 for one in plan.uploads] == [sha(2), sha(3)]
    assert [one.sha256 for one in plan.reused] == [sha(1)]
    assert plan.upload_bytes == 50


# --- retention ---


def stat(key: str, age: float) -> Stat:
    return Stat(key, 1, NOW - age)


def log(epoch: int, count: int, age: float, first: int = 0) -> list[Stat]:
    return [stat(NAMES.log(epoch, number), age) for number in range(first, first + count)]


def key_of(one: Manifest) -> str:
    return NAMES.manifest(one.place.epoch, one.place.sequence)


def plan(
    manifests: list[Manifest],
    policy: Policy,
    *,
    tables: list[Stat] | None = None,
    logs: dict[int, list[Stat]] | None = None,
    held: set[Place] | None = None,
    spare_tables: bool = False,
) -> RetentionPlan:
    pairs = [
        (one, Stat(NAMES.manifest(one.place.epoch, one.place.sequence), 1, one.at_ms / 1000))
        for one in manifests
    ]
    return retention_plan(
        Inventory(pairs, tables or [], logs or {}), policy, held or set(), NOW, spare_tables=spare_tables
    )


def test_keeps_a_number_and_the_young() -> None:
    made = [manifest(1, number, age=(20 - number) * DAY) for number in range(20)]
    assert len(plan(made, Policy(3, 0)).kept) == 3
    assert len(plan(made, Policy(3, 7.5)).kept) == 7
    assert [one.place.sequence for one in plan(made, Policy(2, 0)).kept] == [19, 18]
    assert len(plan(made, Policy(2, 0), held={made[4].place}).kept) == 3


def test_tables_go_with_their_last_snapshot_and_not_before_the_minimum_age() -> None:
    old = manifest(1, 0, files=(file(1), file(2)), age=9 * DAY)
    new = manifest(1, 1, files=(file(2), file(3)), age=2 * DAY)
    ages = {1: 9 * DAY, 2: 9 * DAY, 3: 2 * DAY, 4: 3 * DAY, 5: 60.0}
    tables = [stat(NAMES.table(sha(number)), age) for number, age in ages.items()]
    found = plan([old, new], Policy(1, 0), tables=tables)
    assert [one.key for one in found.tables] == [NAMES.table(sha(1)), NAMES.table(sha(4))]
    assert plan([old, new], Policy(1, 0), tables=tables, spare_tables=True).tables == ()
    assert [one.key for one in plan([old, new], Policy(2, 0), tables=tables).tables] == [NAMES.table(sha(4))]


def test_without_a_snapshot_nothing_goes() -> None:
    found = plan(
        [], Policy(1, 0), tables=[stat(NAMES.table(sha(1)), 99 * DAY)], logs={1: log(1, 9, 99 * DAY)}
    )
    assert found.deletions == ()


def test_the_log_goes_up_to_the_oldest_kept_snapshot_but_each_epochs_end_stays() -> None:
    kept = manifest(3, 0, log=(3, 2), age=2 * DAY)
    logs = {1: log(1, 1, 9 * DAY), 2: log(2, 3, 9 * DAY), 3: log(3, 5, 9 * DAY)}
    found = plan([kept], Policy(1, 0), logs=logs)
    assert [NAMES.place(one.key) for one in found.pieces] == [(2, 0), (3, 0), (3, 1)]
    both = plan([manifest(1, 0, log=(1, 0), age=9 * DAY), kept], Policy(2, 0), logs=logs)
    assert both.pieces == ()


@given(st.data())
def test_what_a_kept_snapshot_needs_is_never_deleted(data: st.DataObject) -> None:
    """Random histories: files, log and last names of every kept snapshot stay, whatever the policy."""
    epochs = data.draw(st.integers(1, 4))
    ages = st.floats(0, 20 * DAY)
    logs = {
        epoch: log(epoch, data.draw(st.integers(0, 6)), data.draw(ages)) for epoch in range(1, epochs + 1)
    }
    made = []
    for number in range(data.draw(st.integers(0, 6))):
        epoch = data.draw(st.integers(1, epochs))
        position = (epoch, data.draw(st.integers(0, len(logs[epoch]))))
        files = tuple(file(one) for one in data.draw(st.sets(st.integers(0, 9), max_size=4)))
        made.append(manifest(epoch, number, files=files, log=position, age=data.draw(ages)))
    tables = [stat(NAMES.table(sha(number)), data.draw(ages)) for number in range(10)]
    policy = Policy(data.draw(st.integers(1, 3)), data.draw(st.floats(0, 10)))
    held = {one.place for one in made if data.draw(st.booleans())}
    found = plan(made, policy, tables=tables, logs=logs, held=held)
    gone = {one.key for one in found.deletions}
    assert len(found.kept) >= min(len(made), policy.keep)
    assert held <= {one.place for one in found.kept}
    for one in found.kept:
        assert key_of(one) not in gone
        assert not gone & {NAMES.table(file.sha256) for file in one.files}
        assert one.log is not None
        needed = [one_log.key for epoch in logs for one_log in logs[epoch]
                  if (epoch, last_number(one_log.key) or 0) >= one.log]  # fmt: skip
        assert not gone & set(needed)
    for stats in logs.values():
        assert not gone & {one.key for one in stats[-2:]}
    assert not gone & {one.key for one in tables if one.modified >= NOW - policy.minimum_age}


# --- restores ---


def test_the_newest_snapshot_of_the_lineage_before_the_target() -> None:
    made = [
        manifest(1, 0, 10, clock_ms=100),
        manifest(1, 1, 90, clock_ms=900),
        manifest(2, 0, 120, clock_ms=1200),
        manifest(3, 0, 300, clock_ms=3000),
    ]
    branches = [Branch(4, END), Branch(2, 150), Branch(1, 80)]
    found = eligible(made, branches, Target())
    assert [(one.place.epoch, one.place.sequence) for one in found] == [(2, 0), (1, 0)]
    assert eligible(made, branches, Target(lsn=119))[0].lsn == 10
    assert eligible(made, branches, Target(clock_ms=1199))[0].lsn == 10
    assert eligible(made, branches, Target(lsn=9)) == []


def test_pieces_from_the_snapshots_position_through_the_epochs_to_the_cuts() -> None:
    branches = [Branch(4, END), Branch(2, 150), Branch(1, 80)]
    logs = {1: [0, 1, 2], 2: [0, 1, 3], 4: [0]}
    found = steps((1, 1), branches, logs, Target(lsn=200))
    assert found == [
        Step(1, 1, 80),
        Step(1, 2, 80),
        Step(2, 0, 150),
        Step(2, 1, 150),
        Step(2, 2, 150, missing=True),
        Step(2, 3, 150),
        Step(4, 0, 200),
    ]
