"""What a request of a client that stays with routers carries."""

from __future__ import annotations

from array import array

from aidb.headers import address_to
from aidb.routing import Routing
from aidb.slots import SLOT_COUNT
from aidb.token import decode, encode
from aidb.topology import Member, Shard, View
from aidb.v1 import common_pb2

ROUTERS = ("10.0.0.1:7400", "10.0.0.2:7400")


def client(through: tuple[str, ...] = ROUTERS) -> Routing:
    made = Routing(token=encode({0: (1, 9), 1: (1, 3)}, 1), through=through)
    shards = {shard: Shard(shard, 1, Member("p", f"pod-{shard}:7400"), ()) for shard in range(2)}
    made.adopt(View("u", 1, 1, array("H", [0]) * SLOT_COUNT, shards, ()))
    return made


def carried(routing: Routing) -> dict[int, tuple[int, int]]:
    header = common_pb2.RequestHeader()
    address_to(header, routing, 0, 0)
    return decode(header.token)[0]


def test_a_router_is_told_all_that_the_session_saw() -> None:
    """The slot may be of another shard than this client knows: then that one's entry counts (C5)."""
    assert carried(client()) == {0: (1, 9), 1: (1, 3)}
    assert carried(client(())) == {0: (1, 9)}


def test_nobody_but_the_given_addresses_is_asked() -> None:
    routing = client()
    for place in (routing.primary(7), routing.readers(7, b"k")):
        assert place is not None and place.shard == 0
        assert {member.address for member in place.members} == set(ROUTERS)
    assert routing.addresses() == set(ROUTERS)
    route = common_pb2.Route(slot=7, shard=1, address="pod-9:7400", topology_version=2)
    routing.learn(route)
    place = routing.primary(7)
    assert place is not None and place.shard == 1
    assert {member.address for member in place.members} == set(ROUTERS)
    assert routing.addresses() == set(ROUTERS)


def test_a_client_stays_with_one_router_until_it_fails() -> None:
    routing = client()
    first = routing.primary(7)
    assert first is not None
    assert all(routing.primary(slot) == first for slot in range(0, SLOT_COUNT, 1000))
    routing.ejections.failed(first.members[0].name, routing.clock())
    now = routing.primary(7)
    assert now is not None and now.members[0] == first.members[1]
