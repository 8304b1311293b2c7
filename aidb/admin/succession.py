"""`take-over` and `hand-over`: asks for the next incarnation of a shard's primary, and waits until it
serves.
"""

from __future__ import annotations

import time
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.cli.status import fetch
from aidb.v1 import cluster_pb2 as pb

_CALL_SECONDS = 10.0
_POLL = 0.1


def succeed(
    address: str | None, shard: int, how: Output, *, planned: bool, wait: bool, timeout: float, reason: str
) -> int:
    """``planned``: a hand-over. Raises Failure."""
    coordinator = find_address(address)
    begin = time.monotonic()
    wanted = _want(coordinator, pb.WantSuccessorRequest(shard=shard, planned=planned, reason=reason))
    found = _wait(coordinator, shard, wanted.incarnation, begin + timeout) if wait else None
    document: dict[str, Any] = {
        "shard": shard,
        "incarnation": wanted.incarnation,
        "planned": planned,
        "published": found is not None,
        "epoch": 0 if found is None else found.epoch,
        "seconds": round(time.monotonic() - begin, 3),
    }
    if how is Output.JSON:
        output.document(document)
    elif found is None:
        print(f"shard {shard}: incarnation {wanted.incarnation} is wanted; aidb status tells how it goes")
    else:
        print(
            f"shard {shard}: incarnation {wanted.incarnation} serves in epoch {found.epoch} "
            f"at {found.primary.member.address} after {document['seconds']:.1f} s"
        )
    return int(Exit.OK)


def cancel(address: str | None, shard: int, how: Output) -> int:
    """Raises Failure when it has taken an epoch."""
    _want(find_address(address), pb.WantSuccessorRequest(shard=shard, cancel=True, reason="cancelled"))
    if how is Output.JSON:
        output.document({"shard": shard, "incarnation": 0})
    else:
        print(f"shard {shard}: no other incarnation is wanted")
    return int(Exit.OK)


def _want(coordinator: str, request: pb.WantSuccessorRequest) -> pb.WantSuccessorResponse:
    with coordination(coordinator) as stub:
        answer: pb.WantSuccessorResponse = stub.WantSuccessor(request, timeout=_CALL_SECONDS)
        return answer


def _wait(coordinator: str, shard: int, incarnation: int, ends: float) -> pb.ShardStatus:
    step = ""
    with progress(f"shard {shard}", None):
        while time.monotonic() < ends:
            found = next((s for s in fetch(coordinator, _CALL_SECONDS).shards if s.id == shard), None)
            if found is None:
                raise Failure(f"there is no shard {shard}", Exit.NOT_FOUND)
            if found.incarnation >= incarnation and found.state in (pb.SHARD_RUNNING, pb.SHARD_DEGRADED):
                return found
            if found.incarnation < incarnation and not found.HasField("successor"):
                raise Failure(f"incarnation {incarnation} of shard {shard} is not wanted any more")
            step = found.successor.step
            time.sleep(_POLL)
    raise Failure(
        f"incarnation {incarnation} of shard {shard} does not serve yet ({step or 'it was not heard of'}): "
        "it goes on; aidb status tells how",
        Exit.UNAVAILABLE,
    )
