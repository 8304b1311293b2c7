"""What a disk has beyond a cut, and what may be done with it: nothing newer is ever overwritten."""

from __future__ import annotations

from typing import Any

import pytest

from aidb.durability.salvage_plan import Action, Item, Tail, cut_of, decide
from aidb.interface import Condition
from aidb.physical import physical_key, split
from aidb.v1 import cluster_pb2 as pb

CUT = 10


def record(lsn: int, previous: int, *ops: tuple[str, bytes, bytes]) -> dict[str, Any]:
    operations = [
        {"kind": kind, "key": physical_key(3, key), "value": value, "version": lsn}
        for kind, key, value in ops
    ]
    return {"lsn": lsn, "previous_lsn": previous, "epoch": 1, "ops": operations}


def test_the_last_operation_beyond_the_cut_counts() -> None:
    tail = Tail(lambda _: CUT)
    for one in (
        record(9, 8, ("put", b"old", b"1")),
        record(10, 9, ("put", b"a", b"at the cut")),
        record(11, 10, ("put", b"a", b"1"), ("put", b"b", b"1")),
        record(12, 11, ("delete", b"b", b""), ("range_delete", b"", b""), ("epoch", b"", b"")),
        record(12, 11, ("put", b"twice", b"")),
    ):
        tail.add(one)
    assert {(item.key, item.value, item.version) for item in tail.items} == {
        (b"a", b"1", 11),
        (b"b", None, 12),
    }
    assert {item.keyspace for item in tail.items} == {3}
    assert (tail.last_lsn, tail.records, tail.others, tail.missing) == (12, 2, 1, [])


def test_a_disk_may_have_left_history_before_its_last_epoch() -> None:
    """A restore to an LSN of the first epoch, when the disk was in the second one: both cuts count."""
    tail = Tail({1: 10, 2: 25}.get)
    for lsn, epoch in ((10, 1), (11, 1), (20, 2), (26, 2)):
        tail.add(record(lsn, lsn - 1, ("put", b"%d" % lsn, b"")) | {"epoch": epoch})
    assert tail.cut == 10
    assert [item.version for item in tail.items] == [11, 20, 26]


def test_log_that_is_gone_is_said() -> None:
    tail = Tail(lambda _: CUT)
    tail.add(record(15, 14, ("put", b"a", b"")))
    tail.add(record(20, 18, ("put", b"a", b"")))
    assert tail.missing == [(10, 14), (15, 18)]


@pytest.mark.parametrize(
    ("value", "expires", "found", "action", "condition"),
    [
        (b"v", 0, None, Action.PUT, Condition(if_absent=True)),
        (b"v", 0, 7, Action.PUT, Condition(if_version=7)),
        (b"v", 0, CUT, Action.PUT, Condition(if_version=CUT)),
        (b"v", 0, 1 << 32, Action.NEWER, None),
        (b"v", 0, 12, Action.THERE, None),
        (b"v", 99, 7, Action.GONE, None),
        (b"v", 101, 7, Action.PUT, Condition(if_version=7)),
        (None, 0, None, Action.GONE, None),
        (None, 0, 7, Action.DELETE, Condition(if_version=7)),
        (None, 0, 1 << 32, Action.NEWER, None),
    ],
)
def test_decisions(
    value: bytes | None, expires: int, found: int | None, action: Action, condition: Condition | None
) -> None:
    decision = decide(Item(0, b"k", 12, value, expires), found, CUT, 100)
    assert (decision.action, decision.condition) == (action, condition)


def test_the_cut_of_an_epoch() -> None:
    shard = pb.Shard(cuts=[pb.Cut(epoch=1, lsn=10), pb.Cut(epoch=3, lsn=30), pb.Cut(epoch=4, lsn=40)])
    assert [cut_of(shard, epoch) for epoch in (1, 2, 3, 4, 5)] == [10, 30, 30, 40, None]
    # A restore to an earlier point gave up what the third had from 20 on.
    shard.cuts[2].lsn = 20
    assert cut_of(shard, 3) == 20


@pytest.mark.parametrize("keyspace", [0, 1, 127, 128, 300, (1 << 32) - 1])
def test_physical_keys(keyspace: int) -> None:
    for key in (b"k", b"{tag}rest", b"\x00\xff" * 40):
        slot, found, rest = split(physical_key(keyspace, key))
        assert (found, rest) == (keyspace, key)
        assert slot < 16384
    with pytest.raises(ValueError, match="no key of a shard"):
        split(b"\x00\x01\xff\xff\xff\xff\xff\xff")
