"""The number of shards: operations of the coordinator, one at a time, until the topology has as many as the
spec asks for. Those that go are emptied first, which is the coordinator's part.
"""

from __future__ import annotations

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.api.conditions import Type
from aidb_operator.plan.outcome import Call, Condition, Outcome, View

ASKED_BY = "operator"
# Of operations that change shards, one runs at a time.
CHANGING = ("add_shard", "remove_shard", "rebalance")


# Seconds after one that failed: what was wrong may have passed.
RETRY = 300.0


def plan(view: View) -> Outcome:
    topology, coordination = view.observed.topology, view.observed.coordination
    spec = view.spec
    if topology is None or coordination is None or spec.hibernate or spec.autoscaling.shards.enabled:
        return Outcome()
    if any(one.kind in CHANGING for one in coordination.under_way):
        return Outcome(again=5.0)
    if any(shard.recovering for shard in topology.shards.values()):
        # Their slots cannot move before they are in place.
        return Outcome(again=5.0)
    present = sorted(topology.shards)
    # The status may be older or newer than the document: what is asked for must hold for both.
    if sorted(shard.id for shard in coordination.status.shards) != present:
        return Outcome(again=1.0)
    missing = spec.shards - len(present)
    if missing == 0:
        return Outcome()
    held = _given_up(view)
    if held is not None:
        return held
    request = _grow(view, missing) if missing > 0 else _shrink(view, present[missing:])
    what = f"{missing} more" if missing > 0 else f"shards {', '.join(map(str, request.shards))}"
    why = f"{request.kind}, {what}: spec.shards is {spec.shards}"
    return Outcome(actions=[Call("StartOperation", request, why)], again=2.0)


def _given_up(view: View) -> Outcome | None:
    """The last attempt at this generation of the spec was cancelled by somebody, or has just failed."""
    assert view.observed.coordination is not None
    attempts = [one for one in view.observed.coordination.operations if one.id.startswith(_prefix(view))]
    if not attempts:
        return None
    last = attempts[-1]
    if last.state == "cancelled":
        message = f"operation {last.id} was cancelled: spec.shards is not followed until the spec changes"
        return Outcome(conditions=[Condition(Type.DEGRADED, True, "ShardsCancelled", message)])
    wait = last.changed_ms / 1000 + RETRY - view.now.timestamp()
    if last.state == "failed" and wait > 0:
        message = f"operation {last.id} failed, another is tried in {RETRY:.0f} s: {last.error}"
        return Outcome(
            conditions=[Condition(Type.DEGRADED, True, "ShardsFailed", message)], again=min(wait, 30.0)
        )
    return None


def _grow(view: View, count: int) -> pb.StartOperationRequest:
    return pb.StartOperationRequest(
        id=_id(view), kind="add_shard", count=count, replicas=view.spec.replicas, asked_by=ASKED_BY
    )


def _shrink(view: View, leaving: list[int]) -> pb.StartOperationRequest:
    """The youngest go."""
    return pb.StartOperationRequest(id=_id(view), kind="remove_shard", shards=leaving, asked_by=ASKED_BY)


def _id(view: View) -> str:
    """The same for the same wish at the same topology: a request that is repeated begins nothing twice."""
    assert view.observed.topology is not None
    return f"{_prefix(view)}{view.observed.topology.version}"


def _prefix(view: View) -> str:
    return f"operator-{view.cluster['metadata'].get('generation', 0)}-"
