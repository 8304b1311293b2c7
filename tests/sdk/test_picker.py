"""In which order replicas are asked."""

from __future__ import annotations

import random
from array import array
from collections import Counter

import pytest

from aidb.balance import rendezvous_order
from aidb.hot import KEPT, MOST, HotKeys
from aidb.loads import Loads
from aidb.options import ReadBalance
from aidb.picker import SLOW_START_SECONDS, Picker
from aidb.routing import Routing
from aidb.slots import SLOT_COUNT
from aidb.topology import Member, Shard, View
from aidb.v1 import common_pb2

MEMBERS = [Member(f"replica-{number}", f"host:{number}") for number in range(4)]
NAMES = frozenset(member.name for member in MEMBERS)
ALL: tuple[ReadBalance, ...] = ("rendezvous", "two_choices", "least_loaded", "round_robin", "random")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(balance: ReadBalance, clock: Clock | None = None) -> tuple[Picker, Loads]:
    loads = Loads(clock or Clock())
    return Picker(balance, loads, random.Random(7)), loads


def first(picker: Picker, key: bytes = b"k", now: float = 0.0) -> Member:
    return picker.order(MEMBERS, key, now)[0]


@pytest.mark.parametrize("balance", ALL)
def test_every_member_is_asked_at_most_once(balance: ReadBalance) -> None:
    picker, _ = made(balance)
    for number in range(50):
        order = picker.order(MEMBERS, b"%d" % number, 0.0)
        assert sorted(member.name for member in order) == sorted(NAMES)
    assert picker.order(MEMBERS[:1], b"k", 0.0) == MEMBERS[:1]


@pytest.mark.parametrize("balance", [balance for balance in ALL if balance != "rendezvous"])
def test_reads_of_one_key_spread(balance: ReadBalance) -> None:
    picker, _ = made(balance)
    counts = Counter(first(picker).name for _ in range(400))
    assert set(counts) == NAMES and max(counts.values()) < 200


def test_a_key_stays_with_its_replica_until_that_is_overloaded() -> None:
    picker, loads = made("rendezvous")
    best, second, *_ = rendezvous_order(MEMBERS, b"k")
    assert {first(picker).name for _ in range(20)} == {best.name}
    for _ in range(3):
        loads.began(best.address)
    assert first(picker) == second
    others = [member for member in MEMBERS if member != best]
    for member in others:
        for _ in range(3):
            loads.began(member.address)
    assert first(picker) == best, "all are as busy: it has no more than its share"


def test_a_key_that_a_cache_calls_hot_goes_to_all_of_them_for_a_while() -> None:
    picker, _ = made("rendezvous")
    best, *_ = rendezvous_order(MEMBERS, b"k")
    picker.told_hot(b"k", 0.0)
    counts = Counter(first(picker).name for _ in range(400))
    assert set(counts.values()) == {100}
    assert {first(picker, b"other").name for _ in range(20)} == {rendezvous_order(MEMBERS, b"other")[0].name}
    assert {first(picker, now=KEPT).name for _ in range(20)} == {best.name}


def test_so_many_hot_keys_are_known_and_no_more() -> None:
    hot = HotKeys()
    for number in range(MOST + 2):
        hot.told(b"%d" % number, 0.0)
        hot.told(b"0", 0.0)
    assert [hot.contains(b"%d" % number, 1.0) for number in (0, 1, 2, 3)] == [True, False, False, True]
    assert hot.contains(b"%d" % (MOST + 1), 1.0)


def test_clients_do_not_follow_each_other() -> None:
    starts = set()
    for seed in range(20):
        picker = Picker("rendezvous", Loads(Clock()), random.Random(seed))
        picker.told_hot(b"k", 0.0)
        starts.add(first(picker).name)
    assert starts == NAMES


def test_the_least_loaded_is_the_least_loaded() -> None:
    picker, loads = made("least_loaded")
    for member in MEMBERS[1:]:
        loads.began(member.address)
    assert {first(picker).name for _ in range(20)} == {MEMBERS[0].name}


def test_of_two_the_slower_is_left() -> None:
    clock = Clock()
    picker, loads = made("two_choices", clock)
    for member in MEMBERS:
        began = loads.began(member.address)
        clock.now += 5.0 if member is MEMBERS[2] else 0.01
        loads.ended(member.address, began)
    assert MEMBERS[2].name not in {first(picker).name for _ in range(200)}


def test_latency_rises_at_once_and_falls_slowly() -> None:
    clock = Clock()
    loads = Loads(clock)

    def answer(seconds: float) -> float:
        began = loads.began("a")
        clock.now += seconds
        loads.ended("a", began)
        return loads.cost("a")

    quick = answer(0.01)
    assert answer(1.0) == pytest.approx(1.0)
    assert 0.9 < answer(0.01) < 1.0
    for _ in range(100):
        clock.now += 1.0
        answer(0.01)
    assert loads.cost("a") == pytest.approx(quick, rel=0.1)


def test_a_replica_is_left_alone_for_slow_reads_not_for_large_batches() -> None:
    clock = Clock()
    view = View("u", 1, 1, array("H", [0]) * SLOT_COUNT, {0: Shard(0, 1, None, tuple(MEMBERS))}, ())
    routing = Routing(clock=clock, rng=random.Random(7))
    routing.adopt(view)

    def answer(member: Member, seconds: float, single: bool) -> None:
        began = routing.loads.began(member.address)
        clock.now += seconds
        routing.loads.ended(member.address, began, single)
        routing.answered(member, common_pb2.ResponseHeader())

    def left_alone() -> bool:
        place = routing.readers(0, b"k")
        assert place is not None
        return place.members[-1] == MEMBERS[0] and routing.ejections.count == 1

    for member in MEMBERS:
        answer(member, 0.001, True)
    answer(MEMBERS[0], 1.0, False)
    assert not left_alone()
    answer(MEMBERS[0], 1.0, True)
    assert left_alone()


@pytest.mark.parametrize("balance", ALL)
def test_a_new_replica_is_asked_more_and_more(balance: ReadBalance) -> None:
    picker, _ = made(balance)
    fresh = MEMBERS[3]
    picker.seen(NAMES - {fresh.name}, 0.0)
    picker.seen(NAMES, 100.0)

    def share(now: float) -> int:
        return sum(first(picker, b"%d" % number, now) == fresh for number in range(1000))

    assert share(100.0) == 0
    early, late, warm = share(101.0), share(108.0), share(100.0 + SLOW_START_SECONDS)
    assert 0 < early < late <= warm + 60
    assert warm > 150


def test_members_of_the_first_view_are_warm() -> None:
    picker, _ = made("rendezvous")
    picker.seen(NAMES, 5.0)
    assert first(picker, now=5.0) == rendezvous_order(MEMBERS, b"k")[0]
