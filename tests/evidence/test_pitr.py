"""`make evidence-pitr` in short, and that it would notice a restore that is not the state it should be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from tests.evidence import pitr, pitr_moves
from tests.evidence.pitr_book import Book
from tests.evidence.report import Report


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pitr.History, Path, random.Random]]:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    rng = random.Random(seed)
    root = tmp_path_factory.mktemp("pitr")
    yield pitr.live(root, rng, ("kill", "restore", "stop"), 150), root, rng


def test_any_lsn_and_any_time(lived: tuple[pitr.History, Path, random.Random]) -> None:
    report = Report("pitr", 0)
    history, root, rng = lived
    pitr.check_lsns(history, root, rng, 5, report)
    pitr.check_times(history, root, rng, 2, report)
    assert (report.violations, report.rounds, report.numbers["times"]) == (0, 5, 2)
    assert history.numbers["writes_given_up"] > 0


def test_another_state_is_noticed(lived: tuple[pitr.History, Path, random.Random]) -> None:
    """A write that was never made, one that had another value, and one that is forgotten."""
    history, root, _ = lived
    book = history.book
    last = max(book.certain(history.first))
    newest = {write.key: write for write in sorted(book.writes, key=lambda write: write.version)}
    put = max(
        (write for write in newest.values() if write.value is not None and write.version < last),
        key=lambda write: write.version,
    )
    for writes in (
        [*book.writes, replace(put, key=(0, b"never"))],
        [replace(one, value=b"other") if one is put else one for one in book.writes],
        [one for one in book.writes if one is not put],
    ):
        report = Report("pitr", 0)
        wrong = replace(history, book=Book(writes, book.vague))
        wrong.first = put.version
        with redirect_stdout(StringIO()):
            pitr.check_lsns(wrong, root, random.Random(1), 2, report)
        assert report.violations > 0


def test_a_run_without_damage_proves_nothing() -> None:
    numbers = Report("pitr", 1).numbers
    own = ("in_flight_at_kills", "writes_given_up", "deletes", "batches", "records_replayed", "times")
    needed = (*own, *pitr_moves.NEEDED)
    numbers.update(dict.fromkeys(needed, 1), snapshots_used=3)
    assert pitr.did_damage(numbers)
    for name in (*needed, "snapshots_used"):
        less = numbers.copy()
        less[name] -= 1
        assert not pitr.did_damage(less)


def test_a_key_may_hold_what_was_sent_and_not_overwritten_by_then() -> None:
    writes = [
        pitr_moves.Write(1, 100, 110),
        pitr_moves.Write(2, 120, 0),
        pitr_moves.Write(3, 140, 150),
        pitr_moves.Write(7, 160, 170),
    ]
    assert pitr_moves.allowed(writes, 99) == {None}
    assert pitr_moves.allowed(writes, 105) == {None, b"1"}
    assert pitr_moves.allowed(writes, 119) == {b"1"}
    assert pitr_moves.allowed(writes, 145) == {b"1", b"2", b"3"}
    assert pitr_moves.allowed(writes, 155) == {b"3"}
    assert pitr_moves.allowed(writes, 170) == {None}, "the seventh write deletes"
