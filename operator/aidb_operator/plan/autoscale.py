"""spec.autoscaling carried out: what the coordinator recommends, by the rules of the spec.

The coordinator measures and decides (`aidb_coordinator.autoscaler`, the function of local mode as well); here
its rules are made those of the spec, and one step is carried out at a time: a ShardGroup is scaled, or an
operation for shards is begun. A number that is not what the decision was made of is left alone, and so is the
one of a ShardGroup that a HorizontalPodAutoscaler targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aidb_coordinator.autoscaler import Decision, Sample, Scale, ShardFigures
from aidb_coordinator.autoscaler.configuration import values
from aidb_coordinator.autoscaler.steps import Step, StepKind, next_step

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.kubernetes import kinds
from aidb_operator.plan import wanted
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Action, Call, Desired, Event, Outcome, View

ASKED_BY = "autoscaler"
# Seconds after an operation of its own that failed.
RETRY = 300.0
# Of decisions, in intervals of samples: one that is older was made of a cluster that is another by now.
_OLDEST = 3


def plan(view: View) -> Outcome:
    scaling = view.spec.autoscaling
    coordination = view.observed.coordination
    if not scaling.enabled or view.spec.hibernate or coordination is None or coordination.scaling is None:
        return Outcome()
    again = float(scaling.interval_seconds)
    said = coordination.scaling
    request = rules_request(view, said)
    if request is not None:
        return Outcome(actions=[Call("SetScaling", request, "the rules of spec.autoscaling")], again=2.0)
    if not said.HasField("shards") or said.age_ms > _OLDEST * 1000 * again:
        return Outcome(again=again)
    step = next_step(_decision(view, said), _sample(coordination.status))
    if step is None:
        return Outcome(again=again)
    held = _held(view)
    if held:
        return Outcome(again=min(again, 10.0))
    why = f"{step.describe()}: {'; '.join(step.reasons)}"
    return Outcome(actions=[_action(view, step, said, why)], events=[Event("Autoscaled", why)], again=2.0)


def rules_request(view: View, said: Any) -> pb.SetScalingRequest | None:
    """What makes the coordinator's rules those of the spec; None: they are."""
    names = values(view.spec.autoscaling.rules_of_autoscaler())
    # A band is set as a whole: its parts are not named beside it.
    whole = {name: text for name, text in names.items() if name.rpartition(".")[0] not in names}
    changed = {name: text for name, text in whole.items() if said.settings.get(name) != text}
    mode = "recommend" if said.mode == "off" else ""
    return pb.SetScalingRequest(mode=mode, set=changed) if changed or mode else None


def _decision(view: View, said: Any) -> Decision:
    """What is the spec's, or somebody else's, stays as it is."""
    scaling = view.spec.autoscaling
    shards = _scale(said.shards)
    return Decision(
        at=0.0,
        apply=True,
        shards=shards if scaling.shards.enabled else _still(shards.current),
        replicas={
            one.shard: _scale(one.scale)
            for one in said.replicas
            if wanted.scaler(view, one.shard) == "autoscaler" and _count(view, one.shard) == one.scale.current
        },
    )


def _count(view: View, shard: int) -> int | None:
    """That its ShardGroup asks for."""
    group = view.observed.get(kinds.SHARD_GROUP, view.names.shard(shard))
    return None if group is None else int(group.get("spec", {}).get("replicas", 0))


def _sample(status: Any) -> Sample:
    """The shards' sizes, by which it is chosen which of them go."""
    figures = (ShardFigures(shard.id, len(shard.replicas), bytes=shard.bytes) for shard in status.shards)
    return Sample(0.0, tuple(figures))


def _held(view: View) -> str:
    """Why nothing may change now; empty: it may."""
    coordination, topology = view.observed.coordination, view.observed.topology
    assert coordination is not None
    if topology is None or sorted(shard.id for shard in coordination.status.shards) != sorted(
        topology.shards
    ):
        return "the topology has just changed"
    for one in coordination.under_way:
        return f"operation {one.id} is {one.state}"
    for shard in coordination.status.shards:
        if shard.state != pb.SHARD_RUNNING or shard.HasField("successor"):
            return f"shard {shard.id} is not well: {shard.reason}"
    mine = [one for one in coordination.operations if one.asked_by == ASKED_BY]
    if mine and mine[-1].state == "failed":
        age = view.now.timestamp() - mine[-1].changed_ms / 1000
        if age < RETRY:
            return f"operation {mine[-1].id} failed: {mine[-1].error}"
    return ""


def _action(view: View, step: Step, said: Any, why: str) -> Action:
    if step.kind in (StepKind.ADD_SHARD, StepKind.REMOVE_SHARD):
        assert view.observed.topology is not None
        request = pb.StartOperationRequest(
            id=f"autoscaler-{view.observed.topology.version}",
            kind=step.kind.value,
            count=step.count,
            shards=step.shards,
            replicas=view.spec.replicas,
            asked_by=ASKED_BY,
        )
        return Call("StartOperation", request, why)
    (shard,) = step.shards
    raw = made(
        view,
        kinds.SHARD_GROUP,
        view.names.shard(shard),
        shard=shard,
        spec={"cluster": view.name, "shard": shard},
    )
    scales: Mapping[int, Any] = {one.shard: one.scale for one in said.replicas}
    return Desired(raw, replicas=scales[shard].wanted, only_count=True)


def _scale(said: Any) -> Scale:
    return Scale(said.current, said.asked, said.wanted, tuple(said.reasons))


def _still(current: int) -> Scale:
    return Scale(current, current, current, ())
