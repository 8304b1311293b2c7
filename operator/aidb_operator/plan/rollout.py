"""Changes of images and settings, carried out in place, one workload after the other.

    coordinators, then of each shard its replicas and then its primary, then routers

Coordinators first: they are in no request's way, their own Deployment keeps one running, and an image that
does not work stops there. Of a shard the replicas first: they hold nothing that is not elsewhere, and old
ones serve until new ones do. A primary restarts on its volume (D10), one shard at a time, while no slot of
it moves, nobody takes over, and all other primaries serve. Routers last: what clients reach stays as it is
until all behind it works.

What fails is not gone on with: the change waits at the first workload whose pods do not become ready, and
`Progressing` says which pod. Setting what was before is another change: it begins where pods fail, whatever
the order says, for they have nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aidb_operator import names
from aidb_operator.api.conditions import Type
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw, kind_of
from aidb_operator.observed import Pod
from aidb_operator.plan import pod_health
from aidb_operator.plan.outcome import Condition, Desired, Event, Outcome, View
from aidb_operator.plan.planner import Held

STALLED = "RolloutStalled"


@dataclass(frozen=True, slots=True)
class Workload:
    """One that exists."""

    kind: Kind
    raw: Raw
    pods: tuple[Pod, ...]

    @property
    def name(self) -> str:
        name: str = self.raw["metadata"]["name"]
        return name

    @property
    def component(self) -> str:
        component: str = self.raw["metadata"]["labels"].get(names.COMPONENT, "")
        return component

    @property
    def shard(self) -> int | None:
        return names.number(self.raw["metadata"]["labels"], names.SHARD)

    @property
    def inputs(self) -> str:
        """What was applied last."""
        text: str = (self.raw["metadata"].get("annotations") or {}).get(names.INPUTS, "")
        return text

    @property
    def of_pods(self) -> str:
        """What its pods are to show."""
        metadata = self.raw["spec"]["template"].get("metadata") or {}
        text: str = (metadata.get("annotations") or {}).get(names.INPUTS, "")
        return text

    @property
    def unsettled(self) -> str:
        """Why it is not yet what was applied; empty: all its pods are, and are ready."""
        wanted = self.raw.get("spec", {}).get("replicas", 1)
        old = [pod.name for pod in self.pods if pod_health.inputs(pod) != self.of_pods]
        if old and wanted:
            return f"{old[0]} is not replaced yet"
        ready = sum(pod.ready for pod in self.pods)
        return f"{ready} of {wanted} pods of {self.name} are ready" if ready < wanted else ""

    def failing(self, view: View) -> str:
        """The pod that fails, and why."""
        for pod in self.pods:
            why = pod_health.failing(pod, view.now)
            if why and pod_health.inputs(pod) == self.of_pods:
                return f"pod {pod.name} does not become ready: {why}"
        return ""


def workloads(view: View) -> Sequence[Workload]:
    """In the order in which they are changed."""
    pods: dict[tuple[str, int | None, int | None], list[Pod]] = {}
    for pod in view.observed.pods:
        # What was evicted stays as Failed until somebody removes it.
        if not pod.deleted and pod.phase not in ("Failed", "Succeeded"):
            pods.setdefault((pod.component, pod.shard, pod.incarnation), []).append(pod)

    def found(kind: Kind) -> Iterator[Workload]:
        for raw in view.observed.all(kind):
            labels = raw["metadata"].get("labels") or {}
            place = names.number(labels, names.SHARD), names.number(labels, names.INCARNATION)
            yield Workload(kind, raw, tuple(pods.get((labels.get(names.COMPONENT, ""), *place), ())))

    return sorted((*found(kinds.DEPLOYMENT), *found(kinds.STATEFUL_SET)), key=_turn)


def gate(view: View, desired: Sequence[Desired]) -> Held:
    """Which workloads are not to be changed yet, and why: all that are outdated, but for the first."""
    wanted = {(kind_of(one.raw), one.name): one.inputs for one in desired if one.inputs}
    held: dict[tuple[Kind, str], str] = {}
    before = ""
    for workload in workloads(view):
        place = workload.kind, workload.name
        if place not in wanted:
            continue
        if wanted[place] == workload.inputs:
            before = before or workload.unsettled
            continue
        if workload.failing(view) or not view.observed.pods:
            continue
        obstacle = before or _obstacle(view, workload)
        if obstacle:
            held[place] = f"it is changed when this is over: {obstacle}"
        before = before or obstacle or f"{workload.name} is changed"
    return held


def plan(view: View) -> Outcome:
    """Says when a change does not go on."""
    for workload in workloads(view):
        why = workload.failing(view)
        if why:
            message = f"{why}; no change goes on until it does. Correct the spec, or set what was before"
            return Outcome(
                conditions=[Condition(Type.PROGRESSING, False, STALLED, message)],
                events=[Event(STALLED, message, warning=True)],
                again=30.0,
            )
    return Outcome()


def _turn(workload: Workload) -> tuple[int, int, int, str]:
    shard = -1 if workload.shard is None else workload.shard
    match workload.component:
        case "coordinator":
            return 0, 0, 0, workload.name
        case "replica":
            return 1, shard, 0, workload.name
        case "primary":
            return 1, shard, 1, workload.name
    return 2, shard, 0, workload.name


def _obstacle(view: View, workload: Workload) -> str:
    """Why a primary is not to restart now."""
    topology = view.observed.topology
    if workload.component != "primary" or topology is None:
        return ""
    for shard in topology.shards.values():
        if shard.wanted:
            return f"incarnation {shard.wanted} of shard {shard.id} is on its way"
    if workload.shard in topology.moving:
        return f"slots of shard {workload.shard} move"
    serving = {(pod.shard, pod.incarnation) for pod in view.observed.pods_of("primary") if pod.ready}
    for shard in topology.shards.values():
        is_other = shard.id != workload.shard and not shard.fenced
        if is_other and (shard.id, shard.published) not in serving:
            return f"the primary of shard {shard.id} is not ready"
    return ""
