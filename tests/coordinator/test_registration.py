"""D10 as a table: who may start, and with which epoch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator import topology as topologies
from aidb_coordinator.registration import (
    MAX_REPLICAS,
    MAX_ROUTERS,
    DiskClaim,
    Grant,
    Refusal,
    admit,
    decide,
    malformed,
)
from aidb_coordinator.topology import Cut, Member, Recovery, Role, Shard, Topology

from tests.coordinator.values import primary, replica, router, topology

FRESH = Shard(id=0)
RESTORED = Shard(id=0, epoch=9, incarnation=2, recovery=Recovery("r", "uid-1"))
SERVED = Shard(id=0, epoch=4, disk_id="disk-a", primary=primary())


@pytest.mark.parametrize(
    ("case", "shard", "claim", "expected"),
    [
        ("first start", FRESH, DiskClaim("disk-a", 0, 1, 0), Grant(1, None)),
        ("restart in place", SERVED, DiskClaim("disk-a", 4, 5, 900), Grant(5, Cut(4, 900))),
        ("the grant never reached the disk", SERVED, DiskClaim("disk-a", 3, 4, 700), Grant(4, Cut(3, 700))),
        (
            "the first grant never reached the disk",
            Shard(id=0, epoch=1, disk_id="disk-a"),
            DiskClaim("disk-a", 0, 1, 0),
            Grant(1, None),
        ),
        ("another disk", SERVED, DiskClaim("disk-b", 4, 5, 900), "belongs to disk disk-a"),
        ("another, empty disk", SERVED, DiskClaim("disk-b", 0, 1, 0), "belongs to disk disk-a"),
        ("a disk that is behind", SERVED, DiskClaim("disk-a", 2, 3, 500), "older than the shard's"),
        ("a disk that is ahead", SERVED, DiskClaim("disk-a", 6, 7, 900), "is an older copy"),
        ("restored", RESTORED, DiskClaim("disk-b", 9, 10, 700), Grant(10, Cut(9, 700))),
        (
            "restored, of a source that went on",
            RESTORED,
            DiskClaim("disk-b", 11, 12, 700),
            Grant(12, Cut(11, 700)),
        ),
        ("the old disk while it is restored", RESTORED, DiskClaim("disk-a", 8, 9, 900), "kept aside"),
        ("an empty disk that was not restored", RESTORED, DiskClaim("disk-b", 0, 1, 0), "being restored"),
        ("used disk, fresh shard", FRESH, DiskClaim("disk-a", 3, 4, 900), "never had a primary"),
    ],
)
def test_the_epoch_of_a_starting_primary(
    case: str, shard: Shard, claim: DiskClaim, expected: Grant | str
) -> None:
    decision = decide(shard, claim)
    if isinstance(expected, Grant):
        assert decision == expected, case
    else:
        assert isinstance(decision, Refusal), case
        assert expected in decision.message, case


def admitted(document: Topology, member: Member, claim: DiskClaim | None = None) -> Topology:
    after, outcome = admit(document, member, claim)
    assert isinstance(outcome, Grant), outcome
    return after


def refused(document: Topology, member: Member, claim: DiskClaim | None = None) -> str:
    after, outcome = admit(document, member, claim)
    assert isinstance(outcome, Refusal)
    assert after is document
    return outcome.message


def test_members_join_and_come_back_at_other_addresses() -> None:
    document = admitted(topology(), primary(), DiskClaim("d", 0, 1, 0))
    document = admitted(admitted(document, replica()), router())
    moved = admitted(document, replace(replica(), address="10.0.0.9:1"))
    assert moved.members[replica().name].address == "10.0.0.9:1"
    renamed = admitted(moved, primary(name="other-name"), DiskClaim("d", 1, 2, 5))
    assert renamed.shards[0].primary == primary(name="other-name")
    assert primary().name not in renamed.members
    assert renamed.shards[0].cuts == (Cut(1, 5),)


def test_who_is_misplaced_is_refused() -> None:
    document = admitted(topology(), replica())
    assert "shards 0 to 2" in refused(document, primary(3), DiskClaim("d", 0, 1, 0))
    assert "shards 0 to 2" in refused(document, replica(3))
    claimed = replace(replica(1), name=replica(0).name)
    assert "belongs to the replica of shard 0" in refused(document, claimed)
    thief = primary(0, name=replica(0).name)
    assert "belongs to the replica" in refused(document, thief, DiskClaim("d", 0, 1, 0))
    assert "feature levels 2 to 3" in refused(document, replace(replica(1), feature_min=2, feature_max=3))


def test_members_are_bounded() -> None:
    document = topology()
    for number in range(MAX_REPLICAS):
        document = topologies.put_replica(document, replica(0, number))
    assert "256 replicas" in refused(document, replica(0, MAX_REPLICAS))
    admitted(document, replace(replica(0, 3), address="10.0.0.1:1"))
    routers = tuple(router(number) for number in range(MAX_ROUTERS))
    assert "1024 routers" in refused(replace(document, routers=routers), router(MAX_ROUTERS))


GOOD = DiskClaim("disk", 0, 1, 0)


@pytest.mark.parametrize(
    ("member", "claim", "complaint"),
    [
        (primary(), GOOD, ""),
        (router(), None, ""),
        (replace(router(), address="[::1]:7400"), None, ""),
        (replace(router(), name=""), None, "is no name"),
        (replace(router(), name="Upper"), None, "is no name"),
        (replace(router(), name="a" * 129), None, "is no name"),
        (replace(router(), name="line\nbreak"), None, "is no name"),
        (replace(router(), address=""), None, "no address"),
        (replace(router(), address="host"), None, "no address"),
        (replace(router(), address="host:0"), None, "no address"),
        (replace(router(), address="host:65536"), None, "no address"),
        (replace(router(), metrics_address="host:x"), None, "no address"),
        (replace(router(), zone="z" * 254), None, "zone or node"),
        (replace(router(), role=Role.COORDINATOR), None, "role coordinator"),
        (primary(), None, "come with a disk"),
        (replica(), GOOD, "come with a disk"),
        (primary(), replace(GOOD, disk_id=""), "id of its disk"),
        (primary(), replace(GOOD, disk_id="d" * 65), "id of its disk"),
        (primary(), replace(GOOD, pending_epoch=0), "may ask for a later one"),
    ],
)
def test_malformed_requests_are_told_what_is_wrong(
    member: Member, claim: DiskClaim | None, complaint: str
) -> None:
    problem = malformed(member, claim)
    assert (complaint in problem) if complaint else (problem == "")
