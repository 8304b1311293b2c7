"""`restore`: a cluster that runs goes back, or some of its shards: their primaries are replaced by
incarnations that restore themselves from the object store.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.cli.status import fetch
from aidb.durability.lineage import END
from aidb.durability.restore_plan import Target
from aidb.v1 import cluster_pb2 as pb

# The coordinator reads the topology's history meanwhile.
_CALL_SECONDS = 60.0
_POLL = 0.2


def restore(
    address: str | None, shards: list[int], target: Target, how: Output, *, wait: bool, timeout: float
) -> int:
    """No shards: the whole cluster. Raises Failure."""
    coordinator = find_address(address)
    begin = time.monotonic()
    request = pb.RestoreRequest(
        id=uuid.uuid4().hex,
        shards=shards,
        clock_ms=0 if target.clock_ms == END else target.clock_ms,
        lsn=0 if target.lsn == END else target.lsn,
    )
    with coordination(coordinator) as stub:
        answer: pb.RestoreResponse = stub.Restore(request, timeout=_CALL_SECONDS)
    if wait:
        _wait(coordinator, request.id, begin + timeout)
    document: dict[str, Any] = {
        "id": request.id,
        "shards": list(answer.shards),
        "serves": wait,
        "topology_version": answer.topology_version,
        "seconds": round(time.monotonic() - begin, 3),
    }
    if how is Output.JSON:
        output.document(document)
    else:
        listed = ", ".join(map(str, answer.shards))
        what = f"serve after {document['seconds']:.1f} s" if wait else "are being restored"
        print(f"shards {listed} {what} (restore {request.id}, to {target})")
    return int(Exit.OK)


def _wait(coordinator: str, id: str, ends: float) -> None:
    reasons = ""
    with progress("restore", None) as advance:
        while time.monotonic() < ends:
            status = fetch(coordinator, _CALL_SECONDS)
            told = next((one for one in status.restores if one.id == id), None)
            if told is None:
                raise Failure(f"the coordinator knows restore {id} no more: aidb status", Exit.UNAVAILABLE)
            shards = [one for one in status.shards if one.id in told.shards]
            missing = [
                one
                for one in shards
                if one.id in told.waiting or one.state not in (pb.SHARD_RUNNING, pb.SHARD_DEGRADED)
            ]
            if not missing:
                return
            reasons = "; ".join(f"shard {one.id}: {one.reason}" for one in missing)
            advance(0, reasons)
            time.sleep(_POLL)
    raise Failure(f"not in time: {reasons}; it goes on, aidb status tells how", Exit.UNAVAILABLE)
