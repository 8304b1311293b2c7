from __future__ import annotations

from dataclasses import replace

import pytest
from aidb_coordinator import codec
from aidb_coordinator import topology as topologies
from aidb_coordinator.store.content import encode
from aidb_coordinator.topology import (
    MAX_CUTS,
    NOBODY,
    Cut,
    Durability,
    Member,
    Move,
    MoveStep,
    Role,
    Shard,
    SlotEpoch,
    SlotSpan,
    Topology,
    TopologyError,
)

from aidb.slots import SLOT_COUNT
from tests.coordinator.values import primary, replica, router, topology


def full() -> Topology:
    """A document in which every field says something."""
    made = topologies.grant_epoch(topology(), primary(), epoch=1, disk_id="d", cut=None)
    made = topologies.grant_epoch(made, primary(), epoch=2, disk_id="d", cut=Cut(1, 2**40))
    made = topologies.put_router(topologies.put_replica(made, replica()), router())
    move = Move("m-1", 2, (SlotSpan(0, 3), SlotSpan(9, 9)), 0, 2, 1, 0, MoveStep.WAITING, "why")
    return replace(
        made,
        term=7,
        durability=Durability.REPLICA,
        moves=(move,),
        slot_epochs=(SlotEpoch(SlotSpan(0, 3), 1, 2**63),),
        shards=tuple(replace(s, tail_set=("a", "b")) if s.id == 0 else s for s in made.shards),
    )


def test_protobuf_and_json_give_back_the_same_document() -> None:
    assert codec.from_proto(codec.to_proto(full())) == full()
    assert codec.from_json(codec.to_json(full())) == full()


def test_a_thousand_shards_stay_below_a_megabyte() -> None:
    def member(shard: int, role: Role, number: int) -> Member:
        name = f"shard-{shard}-{role.name.lower()}-{number}"
        address = f"{name}.aidb-cluster.some-namespace.svc.cluster.local:7400"
        return Member(
            name, address, role, shard, "europe-west4-a", f"node-{shard % 100}.internal", 1, 1, address
        )

    shards = tuple(
        Shard(
            id=number,
            epoch=10,
            disk_id="0b0f4b52-9d3c-4b61-a2bb-3ac34a8c4f5e",
            primary=member(number, Role.PRIMARY, 0),
            replicas=(member(number, Role.REPLICA, 0), member(number, Role.REPLICA, 1)),
            cuts=tuple(Cut(epoch, epoch << 32) for epoch in range(1, 6)),
        )
        for number in range(1000)
    )
    document = replace(topology(1000), shards=shards)
    assert len(codec.to_proto(document).SerializeToString()) < 1_000_000
    assert len(encode(topology(1000), 1)) < 1_000_000, "without members, as a new cluster is stored"


def test_the_slot_table_is_packed_big_endian() -> None:
    packed = topologies.pack_owners([1] + [258] * (SLOT_COUNT - 2) + [NOBODY])
    assert (packed[:4], packed[-2:]) == (b"\x00\x01\x01\x02", b"\xff\xff")
    assert topologies.unpack_owners(packed)[:2] == [1, 258]
    shards = (Shard(id=1), Shard(id=258))
    document = Topology(cluster_uid="u", slot_owners=packed, shards=shards)
    assert (document.owner(0), document.owner(1), document.owner(SLOT_COUNT - 1)) == (1, 258, NOBODY)
    assert document.slot_counts == {1: 1, 258: SLOT_COUNT - 2}


def test_the_version_rises_with_epochs_and_addresses_only() -> None:
    start = topology()
    granted = topologies.grant_epoch(start, primary(), epoch=1, disk_id="d", cut=None)
    assert granted.version == start.version + 1
    assert topologies.grant_epoch(granted, primary(), epoch=1, disk_id="d", cut=None) is granted
    joined = topologies.put_replica(granted, replica())
    assert joined.version == granted.version + 1
    assert topologies.put_replica(joined, replica()) is joined, (
        "a restart at the same address changes nothing"
    )
    moved = topologies.put_replica(joined, replica(address="127.0.0.1:9"))
    assert moved.version == joined.version + 1
    assert [r.address for r in moved.shards[0].replicas] == ["127.0.0.1:9"]
    assert topologies.with_term(moved, 3).version == moved.version


def test_epochs_never_fall_and_terms_rise() -> None:
    granted = topologies.grant_epoch(topology(), primary(), epoch=3, disk_id="d", cut=None)
    for epoch in (0, 2):
        with pytest.raises(TopologyError, match="older"):
            topologies.grant_epoch(granted, primary(), epoch=epoch, disk_id="d", cut=None)
    with pytest.raises(TopologyError, match="shard 9"):
        topologies.grant_epoch(granted, primary(9), epoch=1, disk_id="d", cut=None)
    with pytest.raises(TopologyError, match="term"):
        topologies.with_term(replace(granted, term=4), 4)


def test_cuts_are_one_for_each_epoch_and_the_newest_are_kept() -> None:
    document = topology()
    for epoch in range(1, MAX_CUTS + 10):
        document = topologies.grant_epoch(
            document, primary(), epoch=epoch + 1, disk_id="d", cut=Cut(epoch, epoch * 100)
        )
    again = topologies.grant_epoch(
        document, primary(), epoch=MAX_CUTS + 10, disk_id="d", cut=Cut(MAX_CUTS + 9, 1)
    )
    cuts = again.shards[0].cuts
    assert len(cuts) == MAX_CUTS
    assert cuts[-1] == Cut(MAX_CUTS + 9, 1), "granted once more: its log ended where this disk says now"
    assert [cut.epoch for cut in cuts] == list(range(10, MAX_CUTS + 10))


def test_forgetting_drops_replicas_and_routers_but_no_primary() -> None:
    document = full()
    assert topologies.forget_member(document, "nobody") is document
    assert topologies.forget_member(document, primary().name) is document
    without = topologies.forget_member(topologies.forget_member(document, replica().name), router().name)
    assert (without.routers, without.shards[0].replicas) == ((), ())
    assert without.version == document.version + 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: replace(d, slot_owners=d.slot_owners[:-2]), "slot table"),
        (lambda d: replace(d, shards=d.shards[:2]), "do not exist"),
        (lambda d: replace(d, shards=d.shards[::-1]), "ascending"),
        (lambda d: replace(d, routers=(replace(router(), name=primary().name),)), "share a name"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(change: object, complaint: str) -> None:
    assert callable(change)
    with pytest.raises(TopologyError, match=complaint):
        codec.from_proto(codec.to_proto(change(full())))


def test_newer_formats_and_unknown_fields_are_refused() -> None:
    document = codec.to_json(full())
    with pytest.raises(TopologyError, match="format 2 is newer"):
        codec.from_json({**document, "format": 2})
    with pytest.raises(TopologyError, match="not a topology"):
        codec.from_json({**document, "surprise": 1})
    with pytest.raises(TopologyError):
        codec.from_json({**document, "slot_owners": 5})


def tail_set(made: Topology, *members: str, version: int | None = None, same_node: bool = False) -> Topology:
    at = made.version if version is None else version
    return topologies.set_tail_set(made, 0, members, version=at, same_node=same_node)


def test_a_tail_set_is_changed_at_exactly_the_version_it_was_asked_at() -> None:
    made = topologies.grant_epoch(topology(), replace(primary(), node="n0"), epoch=1, disk_id="d", cut=None)
    for number, node in enumerate(("n0", "n1", "n1", "n2")):
        made = topologies.put_replica(made, replace(replica(number=number), node=node))
    names = [f"shard-0-replica-{number}" for number in range(4)]
    changed = tail_set(made, names[3], names[1])
    assert changed.shards[0].tail_set == (names[1], names[3])
    with pytest.raises(TopologyError, match="is at version"):
        tail_set(changed, version=made.version)
    # Also one that is as it was: who asked before and has no answer knows that it will not be done any more.
    again = tail_set(changed, names[1], names[3])
    assert (again.shards[0].tail_set, again.version) == (changed.shards[0].tail_set, changed.version + 1)
    assert tail_set(again).shards[0].tail_set == ()


def test_members_of_a_tail_set_fail_apart() -> None:
    made = topologies.grant_epoch(topology(), replace(primary(), node="n0"), epoch=1, disk_id="d", cut=None)
    for number, node in enumerate(("n0", "n1", "n1")):
        made = topologies.put_replica(made, replace(replica(number=number), node=node))
    names = [f"shard-0-replica-{number}" for number in range(3)]
    with pytest.raises(TopologyError, match="as shard-0-primary is"):
        tail_set(made, names[0])
    with pytest.raises(TopologyError, match=f"as {names[1]} is"):
        tail_set(made, names[1], names[2])
    with pytest.raises(TopologyError, match="no replica of shard 0"):
        tail_set(made, "stranger")
    assert tail_set(made, *names, same_node=True).shards[0].tail_set == tuple(names)
