"""The next incarnation of a primary, as transitions of the document, and when it is wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator import succession
from aidb_coordinator import topology as topologies
from aidb_coordinator.codec import from_json, to_json
from aidb_coordinator.health import MemberState, Verdict
from aidb_coordinator.registration import DiskClaim, Grant, Refusal, admit
from aidb_coordinator.takeover import Decision, Rules, decide
from aidb_coordinator.topology import Cut, Member, Shard, Successor, Topology, TopologyError

from tests.coordinator.values import primary, replica, topology

NEXT = primary(address="127.0.0.1:7009", name="shard-0-primary-2")


def served(shards: int = 2) -> Topology:
    """Every shard in epoch 4, on disk-a."""
    document = topology(shards)
    for shard in document.shards:
        document = topologies.grant_epoch(document, primary(shard.id), epoch=4, disk_id="disk-a", cut=None)
    return document


def register(document: Topology, member: Member, claim: DiskClaim) -> tuple[Topology, Grant | Refusal]:
    return admit(document, member, claim)


def taken(document: Topology, disk_id: str = "disk-b") -> tuple[Topology, int]:
    document, successor = succession.take(document, 0, incarnation=2, disk_id=disk_id)
    return document, successor.epoch


def test_a_takeover_from_the_wish_to_the_publication() -> None:
    document, wanted = succession.want(served(), 0, planned=False, reason="gone")
    assert (wanted.incarnation, wanted.epoch) == (2, 0)
    assert from_json(to_json(document)) == document
    document, epoch = taken(document)
    assert epoch == 5
    assert document.shards[0].epoch == 4, "it is not published yet"
    after, grant = register(document, NEXT, DiskClaim("disk-b", 3, 5, 700))
    assert grant == Grant(5, Cut(4, 700)), "whatever the disk's epoch was, what it lacks of epoch 4 is lost"
    shard = after.shards[0]
    assert (shard.epoch, shard.incarnation, shard.disk_id) == (5, 2, "disk-b")
    assert (shard.primary, shard.successor, shard.cuts) == (NEXT, None, (Cut(4, 700),))
    _, grant = register(after, NEXT, DiskClaim("disk-b", 3, 5, 700))
    assert grant == Grant(5, Cut(3, 700)), "granted, and never begun"


def test_from_the_taking_on_the_old_disk_is_superseded() -> None:
    document, _ = succession.want(served(), 0, planned=False, reason="gone")
    back, grant = register(document, primary(), DiskClaim("disk-a", 4, 5, 900))
    assert isinstance(grant, Grant), "as long as no epoch was taken, a restart in place is better"
    assert back.shards[0].successor is None
    document, _ = taken(document)
    same, refusal = register(document, primary(), DiskClaim("disk-a", 4, 5, 900))
    assert same is document
    assert isinstance(refusal, Refusal)
    assert "kept aside" in refusal.message
    published, _ = register(document, NEXT, DiskClaim("disk-b", 3, 5, 700))
    _, refusal = register(published, primary(), DiskClaim("disk-a", 4, 5, 900))
    assert isinstance(refusal, Refusal)
    assert "kept aside" in refusal.message


def test_the_tail_set_stays_as_the_taker_found_it() -> None:
    """Whoever confirms the old primary's writes is one of those that the taker seals (D5)."""
    document, _ = succession.want(served(), 0, planned=False, reason="gone")
    document = topologies.put_replica(document, replica())
    document = topologies.set_tail_set(
        document, 0, (replica().name,), version=document.version, same_node=True
    )
    document, _ = taken(document)
    with pytest.raises(TopologyError, match="has been taken"):
        topologies.set_tail_set(document, 0, (), version=document.version, same_node=True)
    published, _ = register(document, NEXT, DiskClaim("disk-b", 3, 5, 700))
    assert published.shards[0].tail_set == (replica().name,), "it goes on with the members that it has"


def test_of_two_takers_the_later_one_wins() -> None:
    document, _ = succession.want(served(), 0, planned=False, reason="gone")
    document, first = taken(document, "disk-b")
    document, second = taken(document, "disk-c")
    document, third = taken(document, "disk-c")
    assert (first, second, third) == (5, 6, 7), "a taker that begins anew takes a higher epoch as well"
    for claim in (DiskClaim("disk-b", 3, 5, 700), DiskClaim("disk-c", 3, 6, 700)):
        same, refusal = register(document, NEXT, claim)
        assert same is document
        assert isinstance(refusal, Refusal)
    _, grant = register(document, NEXT, DiskClaim("disk-c", 3, 7, 700))
    assert grant == Grant(7, Cut(6, 700))


def test_a_wish_can_be_withdrawn_until_an_epoch_was_taken() -> None:
    wanted, _ = succession.want(served(), 0, planned=True, reason="drain")
    assert succession.withdraw(wanted, 0).shards[0].successor is None
    assert succession.want(wanted, 0, planned=True, reason="again")[0] is wanted
    begun, _ = taken(wanted)
    with pytest.raises(TopologyError, match="only be completed"):
        succession.withdraw(begun, 0)
    with pytest.raises(TopologyError, match="only 2 is wanted"):
        succession.take(begun, 0, incarnation=3, disk_id="disk-c")


def test_one_hand_over_at_a_time_and_a_takeover_in_its_place() -> None:
    document, _ = succession.want(served(), 0, planned=True, reason="drain")
    with pytest.raises(TopologyError, match="one at a time"):
        succession.want(document, 1, planned=True, reason="drain")
    both, _ = succession.want(document, 1, planned=False, reason="gone")
    assert both.shards[1].successor is not None
    begun, _ = taken(document)
    _, now = succession.want(begun, 0, planned=False, reason="died meanwhile")
    assert (now.planned, now.incarnation, now.epoch) == (False, 2, 5)
    with pytest.raises(TopologyError, match="never had a primary"):
        succession.want(topology(), 0, planned=False, reason="gone")


RULES = Rules(enabled=True, grace=30.0, lease=10.0)
SHARD = Shard(id=0, epoch=4, disk_id="disk-a", primary=primary())
WANTED = Successor(2, planned=False)
FAILED, HEALTHY, STARTING, LEFT = (
    Verdict(state)
    for state in (MemberState.FAILED, MemberState.HEALTHY, MemberState.STARTING, MemberState.LEFT)
)


@pytest.mark.parametrize(
    ("case", "shard", "verdict", "gone", "leading", "rules", "expected"),
    [
        ("gone for long", SHARD, FAILED, 31.0, 100.0, RULES, Decision.WANT),
        ("left for long", SHARD, LEFT, 31.0, 100.0, RULES, Decision.WANT),
        ("within the grace", SHARD, FAILED, 29.0, 100.0, RULES, Decision.NOTHING),
        ("a new leader", SHARD, FAILED, 31.0, 9.0, replace(RULES, grace=1.0), Decision.NOTHING),
        ("starts", SHARD, STARTING, 31.0, 100.0, RULES, Decision.NOTHING),
        ("switched off", SHARD, FAILED, 31.0, 100.0, replace(RULES, enabled=False), Decision.NOTHING),
        ("never served", Shard(id=0), FAILED, 31.0, 100.0, RULES, Decision.NOTHING),
        ("wanted", replace(SHARD, successor=WANTED), FAILED, 31.0, 100.0, RULES, Decision.NOTHING),
        ("back", replace(SHARD, successor=WANTED), HEALTHY, 0.0, 100.0, RULES, Decision.WITHDRAW),
        (
            "back too late",
            replace(SHARD, successor=replace(WANTED, epoch=5)),
            HEALTHY,
            0.0,
            100.0,
            RULES,
            Decision.NOTHING,
        ),
        (
            "dies before it hands over",
            replace(SHARD, successor=Successor(2, planned=True)),
            FAILED,
            31.0,
            100.0,
            RULES,
            Decision.WANT,
        ),
        (
            "has handed over",
            replace(SHARD, successor=Successor(2, planned=True, epoch=5)),
            FAILED,
            31.0,
            100.0,
            RULES,
            Decision.NOTHING,
        ),
    ],
)
def test_when_a_takeover_is_wanted(
    case: str, shard: Shard, verdict: Verdict, gone: float, leading: float, rules: Rules, expected: Decision
) -> None:
    assert decide(shard, verdict, gone, leading, rules) is expected, case
