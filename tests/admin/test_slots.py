"""Which slots `aidb-admin move-slots` means."""

from __future__ import annotations

import pytest

from aidb.admin import slots


def test_ranges_are_read_and_written_alike() -> None:
    assert slots.parse("7, 10-12,16383") == [(7, 7), (10, 12), (16383, 16383)]
    assert slots.text_of(slots.spans_of([12, 7, 10, 11, 7])) == "7,10-12"
    for bad in ("", "x", "5-4", "16384", "-1", "1-", "1,,2"):
        with pytest.raises(ValueError, match="no range of slots"):
            slots.parse(bad)


def test_slots_leave_whoever_has_them() -> None:
    owners: list[int | None] = [0, 0, 1, 2, None, 0]
    assert slots.by_source(owners, [(0, 5)], 1) == {0: [(0, 1), (5, 5)], 2: [(3, 3)]}
    with pytest.raises(ValueError, match="has all of these"):
        slots.by_source(owners, [(2, 2), (4, 4)], 1)


def test_a_shard_keeps_one_slot() -> None:
    owners: list[int | None] = [0, 1, 0, 1, 0]
    assert slots.last_of(owners, 0, 2) == [(2, 2), (4, 4)]
    with pytest.raises(ValueError, match="has 3 slots"):
        slots.last_of(owners, 0, 3)


def test_the_table_of_a_topology_is_unpacked() -> None:
    assert slots.owners_of(b"\x00\x01\xff\xff\x01\x00") == [1, None, 256]
