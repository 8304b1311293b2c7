"""Request headers: what every request carries."""

from __future__ import annotations

from aidb.errors import InvalidArgument
from aidb.interface import Bounded, Consistency, Durability
from aidb.routing import Routing
from aidb.v1 import common_pb2

_CONSISTENCY = {
    "session": common_pb2.CONSISTENCY_SESSION,
    "strong": common_pb2.CONSISTENCY_STRONG,
    "eventual": common_pb2.CONSISTENCY_EVENTUAL,
}
_DURABILITY = {
    None: common_pb2.DURABILITY_DEFAULT,
    "async": common_pb2.DURABILITY_ASYNC,
    "replica": common_pb2.DURABILITY_REPLICA,
    "archived": common_pb2.DURABILITY_ARCHIVED,
}


def _new(routing: Routing, deadline: float) -> common_pb2.RequestHeader:
    left = max(0.0, deadline - routing.clock())
    return common_pb2.RequestHeader(
        keyspace=routing.keyspace, deadline_unix_ms=round((routing.wall_clock() + left) * 1000)
    )


def read_header(routing: Routing, consistency: Consistency, deadline: float) -> common_pb2.RequestHeader:
    """The header of a read. ``deadline`` is on the routing's clock.

    Raises:
        InvalidArgument: no such consistency.
    """
    header = _new(routing, deadline)
    if isinstance(consistency, Bounded):
        header.consistency = common_pb2.CONSISTENCY_BOUNDED
        header.staleness_bound_ms = max(1, min(2**32 - 1, int(consistency.seconds * 1000)))
    elif consistency in _CONSISTENCY:
        header.consistency = _CONSISTENCY[consistency]
    else:
        raise InvalidArgument(
            f"consistency is session, strong, eventual or bounded(seconds), not {consistency!r}"
        )
    return header


def write_header(
    routing: Routing, durability: Durability | None, deadline: float, seq: int
) -> common_pb2.RequestHeader:
    """The header of a write, or of a batch whose first write has number ``seq`` (V6).

    Raises:
        InvalidArgument: no such durability.
    """
    if durability not in _DURABILITY:
        raise InvalidArgument(f"durability is async, replica or archived, not {durability!r}")
    header = _new(routing, deadline)
    header.durability = _DURABILITY[durability]
    header.request_id.client = routing.client_id
    header.request_id.seq = seq
    header.first_sent_unix_ms = round(routing.wall_clock() * 1000)
    return header


def address_to(header: common_pb2.RequestHeader, routing: Routing, shard: int, attempt: int) -> None:
    """Fill in what may differ from one send to the next."""
    header.topology_version = routing.topology_version
    # A router may know better which shard the slot is of, and then needs that one's entry.
    header.token = routing.token.encode() if routing.through else routing.token.for_shard(shard, routing.lost)
    header.attempt = attempt
