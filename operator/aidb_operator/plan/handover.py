"""Hand-overs (D6): what changes a primary's node or volume makes the next incarnation beside it.

    its node is cordoned, drained, or marked to go  ->  the next one starts on another node
    storage is larger, or of another class          ->  the next one gets a volume of that kind

The operator asks the coordinator for it (`WantSuccessor`), makes the StatefulSet that the topology then
names, and `retire` removes the one before when the next is published. One shard at a time. An eviction waits
meanwhile: the budget over all incarnations of a shard lets the old pod go when the next one serves.

A hand-over that finds no place for PATIENCE no longer protects what is to go (`unprotected`): the drain goes
on, the volume stays, and the pod waits for its node. Without an object store nothing can be handed over:
nothing is protected then, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.api import quantity
from aidb_operator.api.conditions import Type
from aidb_operator.observed import Node, Pod, Shard, timestamp
from aidb_operator.plan import pod_health
from aidb_operator.plan.outcome import Action, Call, Condition, Event, Outcome, View

# Reasons that begin so are the operator's own: it takes back what it asked for, and nothing else.
ASKED_BY = "operator: "
STALLED = "HandOverStalled"
IMPOSSIBLE = "HandOverImpossible"

# Taints by which tools say that a node will go. A cordoned node is marked in its spec.
LEAVING = frozenset(
    {
        "node.kubernetes.io/out-of-service",
        "node.cloudprovider.kubernetes.io/shutdown",
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
    }
)
_AGAIN = 5.0


def plan(view: View) -> Outcome:
    topology = view.observed.topology
    if topology is None or view.spec.hibernate:
        return Outcome()
    reasons = _reasons(view)
    if view.spec.object_store is None:
        return _impossible(reasons)
    under_way = [shard for shard in topology.shards.values() if shard.wanted and shard.planned]
    actions: list[Action] = [
        _call(shard.id, ASKED_BY + "the reason is gone", cancel=True)
        for shard in under_way
        if shard.reason.startswith(ASKED_BY) and not shard.taken and shard.id not in reasons
    ]
    conditions, events = _told(view, under_way, reasons)
    if not under_way:
        actions += _next(view, reasons)
    return Outcome(actions, conditions, events, again=_AGAIN if reasons or under_way else None)


def unprotected(view: View) -> frozenset[int]:
    """Shards whose primary may be evicted all the same: no place was found for a next one."""
    topology = view.observed.topology
    if topology is None or not any(_stalled(view, shard) for shard in topology.shards.values()):
        return frozenset()
    return frozenset(
        shard.id
        for shard in topology.shards.values()
        if (pod := published(view, shard)) is not None and _node_leaves(view, pod)
    )


def leaves(node: Node) -> str:
    """Why a node will go, or is to be empty; empty: nobody said so."""
    if node.raw["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    if not node.schedulable:
        return "is cordoned"
    taints = {str(taint.get("key")) for taint in node.raw.get("spec", {}).get("taints") or ()}
    return next((f"is marked {key}" for key in sorted(taints & LEAVING)), "")


def published(view: View, shard: Shard) -> Pod | None:
    """The pod of the shard's primary."""
    name = view.names.primary_pod(shard.id, shard.published)
    return next((pod for pod in view.observed.pods_of("primary", shard.id) if pod.name == name), None)


def _reasons(view: View) -> Mapping[int, str]:
    """Of shards whose primary has to get another node or volume; those of nodes first."""
    assert view.observed.topology is not None
    shards = [view.observed.topology.shards[shard] for shard in sorted(view.observed.topology.shards)]
    nodes: dict[int, str] = {}
    volumes: dict[int, str] = {}
    for shard in shards:
        pod = published(view, shard)
        if pod is not None and (why := _node_leaves(view, pod)):
            nodes[shard.id] = why
        elif why := _volume_differs(view, shard):
            volumes[shard.id] = why
    return nodes | volumes


def _node_leaves(view: View, pod: Pod) -> str:
    node = view.observed.nodes.get(pod.node)
    why = "" if node is None else leaves(node)
    return f"node {pod.node} {why}" if why else ""


def _volume_differs(view: View, shard: Shard) -> str:
    """The StatefulSet keeps what its volume was made from."""
    raw = view.observed.primaries.get((shard.id, shard.published))
    templates = (raw or {}).get("spec", {}).get("volumeClaimTemplates") or ()
    if not templates:
        return ""
    claim, storage = templates[0]["spec"], view.spec.storage
    size = claim.get("resources", {}).get("requests", {}).get("storage")
    if size is not None and quantity.value(size) != quantity.value(storage.size):
        return f"storage.size is {storage.size}, its volume has {size}"
    name = claim.get("storageClassName")
    if storage.class_name is not None and name != storage.class_name:
        return f"storage.className is {storage.class_name}, its volume is of {name or 'the default'}"
    return ""


def _next(view: View, reasons: Mapping[int, str]) -> list[Action]:
    """One: the first whose primary can hand over, unless another one is just restarting."""
    assert view.observed.topology is not None
    shards = view.observed.topology.shards
    restarting = {shard.id for shard in shards.values() if _restarts(view, shard)}
    for shard, why in reasons.items():
        pod = published(view, shards[shard])
        if shards[shard].wanted or pod is None or not pod.ready or restarting - {shard}:
            continue
        return [_call(shard, ASKED_BY + why)]
    return []


def _restarts(view: View, shard: Shard) -> bool:
    """It will serve again soon. One that fails, or is nowhere, is not waited for: a drain has to end."""
    pod = published(view, shard)
    if pod is None or pod.ready or pod_health.unreachable(pod, view.observed):
        return False
    return not pod_health.failing(pod, view.now) and not pod_health.unschedulable(pod)


def _stalled(view: View, shard: Shard) -> str:
    """Why an incarnation that is wanted has not begun after PATIENCE; empty: it has, or none is."""
    raw = view.observed.primaries.get((shard.id, shard.wanted)) if shard.wanted else None
    created = (raw or {}).get("metadata", {}).get("creationTimestamp")
    if created is None or shard.taken or view.now - timestamp(created) < pod_health.PATIENCE:
        return ""
    name = view.names.primary_pod(shard.id, shard.wanted)
    pods = [pod for pod in view.observed.pods_of("primary", shard.id) if pod.name == name]
    why = next((pod_health.failing(pod, view.now) for pod in pods), "")
    return f"pod {name}: {why or 'it does not begin'}"


def _told(
    view: View, under_way: list[Shard], reasons: Mapping[int, str]
) -> tuple[list[Condition], list[Event]]:
    for shard in under_way:
        stalled = _stalled(view, shard)
        if stalled:
            message = (
                f"shard {shard.id} finds no place for its next primary: {stalled}. "
                "Its primary may be evicted all the same, and waits for its node then"
            )
            return [Condition(Type.HAND_OVER, False, STALLED, message)], [
                Event(STALLED, message, warning=True)
            ]
    if under_way:
        message = "; ".join(f"shard {shard.id}: {shard.reason.removeprefix(ASKED_BY)}" for shard in under_way)
        return [Condition(Type.HAND_OVER, True, "UnderWay", message)], []
    if reasons:
        message = "; ".join(f"shard {shard} waits: {why}" for shard, why in reasons.items())
        return [Condition(Type.HAND_OVER, True, "Waiting", message)], []
    return [Condition(Type.HAND_OVER, False, "None")], []


def _impossible(reasons: Mapping[int, str]) -> Outcome:
    if not reasons:
        return Outcome(
            conditions=[Condition(Type.HAND_OVER, False, "NoObjectStore", "nothing can be handed over")]
        )
    waiting = "; ".join(f"shard {shard}: {why}" for shard, why in reasons.items())
    message = (
        f"without an objectStore no primary can get another node or volume ({waiting}). Its data stays where "
        "it is; it serves again when its node is back"
    )
    return Outcome(
        conditions=[Condition(Type.HAND_OVER, False, IMPOSSIBLE, message)],
        events=[Event(IMPOSSIBLE, message, warning=True)],
    )


def _call(shard: int, reason: str, *, cancel: bool = False) -> Call:
    request = pb.WantSuccessorRequest(shard=shard, planned=True, reason=reason, cancel=cancel)
    verb = "no hand-over" if cancel else "hand-over"
    return Call("WantSuccessor", request, f"{verb} of shard {shard}: {reason.removeprefix(ASKED_BY)}")
