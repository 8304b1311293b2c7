"""What becomes of a cluster that is deleted.

`deletionPolicy: Retain` needs nobody: Kubernetes removes what the AidbCluster owns. Volumes and the
coordinator's documents (which shards there are, of which cluster) have no owner and stay: a cluster that is
created again under the name goes on with them. There is no finalizer, so that nothing holds a deletion up.

`Delete` holds the AidbCluster with a finalizer while pods end, and then removes volumes and documents. It
ends in any case: after BOUND the finalizer goes, and an event says what is left. The object store is never
touched.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.observed import timestamp
from aidb_operator.plan import pod_health
from aidb_operator.plan.outcome import Action, Delete, Event, Outcome, Patch, View

FINALIZER = f"{names.GROUP}/volumes"
# For pods to end; and for all of it.
PODS_BOUND = timedelta(minutes=5)
BOUND = timedelta(minutes=10)

LEFT_BEHIND = "LeftBehind"

_WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET)


def plan(view: View) -> Outcome:
    """First of all steps: nothing else is done for a cluster that is being deleted."""
    metadata = view.cluster["metadata"]
    held = FINALIZER in (metadata.get("finalizers") or ())
    if not metadata.get("deletionTimestamp"):
        return _ready_for_it(view, held)
    if not held:
        return Outcome(ends="the cluster is being deleted")
    if not _removes(view):
        return Outcome([_finalizers(view, held=False)], ends="the cluster is being deleted: volumes stay")
    return _remove(view)


def _ready_for_it(view: View, held: bool) -> Outcome:
    """Held by a finalizer while something would have to be done."""
    if held == _removes(view):
        return Outcome()
    return Outcome([_finalizers(view, held=not held)])


def _remove(view: View) -> Outcome:
    since = view.now - timestamp(view.cluster["metadata"]["deletionTimestamp"])
    workloads = [_delete(kind, raw) for kind in _WORKLOADS for raw in _alive(view, kind)]
    pods = [pod for pod in view.observed.pods if not pod_health.unreachable(pod, view.observed)]
    if (workloads or pods) and since < PODS_BOUND:
        return _waits(workloads, f"{len(pods)} pods are to end")
    data: list[Action] = [_delete(kinds.VOLUME_CLAIM, raw) for raw in _alive(view, kinds.VOLUME_CLAIM)]
    data += [
        _delete(kinds.CONFIG_MAP, raw) for raw in _alive(view, kinds.CONFIG_MAP) if _is_document(view, raw)
    ]
    if data and since < BOUND:
        return _waits([*workloads, *data], "volumes are removed")
    left = [action.name for action in data if isinstance(action, Delete)]
    events = []
    if left:
        events = [Event(LEFT_BEHIND, f"not removed in time: {', '.join(left)}", warning=True)]
    return Outcome([_finalizers(view, held=False)], events=events, ends="the cluster is deleted")


def _waits(actions: list[Action], message: str) -> Outcome:
    return Outcome(actions, ends=f"the cluster is being deleted: {message}", again=2.0)


def _removes(view: View) -> bool:
    """As it was written: a deletion does not wait for a spec that can be used."""
    return (view.cluster.get("spec") or {}).get("deletionPolicy") == "Delete"


def _is_document(view: View, raw: Raw) -> bool:
    own = view.names
    return raw["metadata"]["name"] in (own.topology, own.operations, own.autoscaler)


def _alive(view: View, kind: Kind) -> list[Raw]:
    return [raw for raw in view.observed.all(kind) if not raw["metadata"].get("deletionTimestamp")]


def _delete(kind: Kind, raw: Raw) -> Action:
    metadata, why = raw["metadata"], "deletionPolicy is Delete"
    propagation: Literal["Background", ""] = "Background" if kind in _WORKLOADS else ""
    return Delete(kind, metadata["name"], metadata["uid"], why, propagation=propagation)


def _finalizers(view: View, *, held: bool) -> Patch:
    """All of them at that version of the object: others have theirs."""
    metadata = view.cluster["metadata"]
    others = [one for one in metadata.get("finalizers") or () if one != FINALIZER]
    body = {
        "metadata": {
            "finalizers": [*others, FINALIZER] if held else others,
            "resourceVersion": metadata.get("resourceVersion"),
        }
    }
    why = "volumes go with the cluster" if held else "nothing is left to be removed"
    return Patch(kinds.CLUSTER, view.name, body, why)
