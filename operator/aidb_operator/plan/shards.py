"""The number of shards: operations of the coordinator, one at a time, until the topology has as many as the
spec asks for. Those that go are emptied first, which is the coordinator's part.
"""

from __future__ import annotations

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.plan.outcome import Call, Outcome, View

ASKED_BY = "operator"
# Of operations that change shards, one runs at a time.
CHANGING = ("add_shard", "remove_shard", "rebalance")


def plan(view: View) -> Outcome:
    topology, coordination = view.observed.topology, view.observed.coordination
    spec = view.spec
    if topology is None or coordination is None or spec.hibernate or spec.autoscaling.shards.enabled:
        return Outcome()
    if any(one.kind in CHANGING for one in coordination.under_way):
        return Outcome(again=5.0)
    present = sorted(topology.shards)
    # The status may be older or newer than the document: what is asked for must hold for both.
    if sorted(shard.id for shard in coordination.status.shards) != present:
        return Outcome(again=1.0)
    missing = spec.shards - len(present)
    if missing == 0:
        return Outcome()
    request = _grow(view, missing) if missing > 0 else _shrink(view, present[missing:])
    why = (
        f"{request.kind} of {missing if missing > 0 else list(request.shards)}: spec.shards is {spec.shards}"
    )
    return Outcome(actions=[Call("StartOperation", request, why)], again=2.0)


def _grow(view: View, count: int) -> pb.StartOperationRequest:
    return pb.StartOperationRequest(
        id=_id(view), kind="add_shard", count=count, replicas=view.spec.replicas, asked_by=ASKED_BY
    )


def _shrink(view: View, leaving: list[int]) -> pb.StartOperationRequest:
    """The youngest go."""
    return pb.StartOperationRequest(id=_id(view), kind="remove_shard", shards=leaving, asked_by=ASKED_BY)


def _id(view: View) -> str:
    """The same for the same wish at the same topology: a request whose answer was lost begins nothing twice."""
    assert view.observed.topology is not None
    generation = view.cluster["metadata"].get("generation", 0)
    return f"operator-{generation}-{view.observed.topology.version}"
