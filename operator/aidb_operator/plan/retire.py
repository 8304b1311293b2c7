"""Primaries that are over: incarnations that were replaced or given up, and shards that were removed.

    its StatefulSet   goes when its program said that it handed over, or WAIT after it was replaced
    its volume        goes by `storage.reclaimPolicy: Delete`, and only if nothing of it is missing elsewhere

A volume is disposable when its program said by its exit that the object store has everything (D6), when its
shard was emptied and removed, or when its incarnation never served. Any other may hold writes that nobody
else has: it stays, whatever the policy says, and `aidb-admin salvage` looks into it.

What the topology does not say is not concluded: a shard that it never had may be of a topology that was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.observed import Place, Pod, Topology, timestamp
from aidb_operator.plan import pod_health
from aidb_operator.plan.outcome import Action, Delete, Event, Outcome, Over, Patch, View

# One that was replaced tells clients where to go for a while, and then ends by itself.
WAIT = timedelta(seconds=90)
# After the end of a pod's grace, for a kubelet that is only slow.
LATE = timedelta(seconds=30)

REPLACED_AT = f"{names.GROUP}/replaced-at"
# Of a volume: why nothing of it is missing elsewhere, or why it is kept.
DISPOSABLE = f"{names.GROUP}/disposable"
KEPT = f"{names.GROUP}/kept"

VOLUME_KEPT = "VolumeKept"
UNKNOWN_SHARD = "UnknownShard"


def plan(view: View) -> Outcome:
    topology = view.observed.topology
    if topology is None:
        return Outcome()
    pods = {
        (pod.shard, pod.incarnation): pod
        for pod in view.observed.pods_of("primary")
        if pod.shard is not None and pod.incarnation is not None
    }
    turn = _Turn(view, topology, pods)
    for place, raw in sorted(view.observed.primaries.items()):
        if topology.is_over(place):
            turn.end(place, raw)
        elif not topology.runs(place):
            turn.tell_unknown(place)
    for place, raw in _volumes(view):
        if topology.is_over(place) and place not in view.observed.primaries:
            turn.reclaim(place, raw)
    for place, pod in pods.items():
        if topology.is_over(place):
            turn.forget(place, pod)
    return Outcome(turn.actions, events=turn.events, again=10.0 if turn.waits else None)


class _Turn:
    def __init__(self, view: View, topology: Topology, pods: dict[Place, Pod]) -> None:
        self.view, self.topology, self.pods = view, topology, pods
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.waits = False

    def end(self, place: Place, raw: Raw) -> None:
        """The StatefulSet of one that is over."""
        why = self._nothing_missing(place)
        if why:
            self._mark(place, DISPOSABLE, why)
        elif not self._waited(raw):
            return
        else:
            kept = "its program did not say that it handed over: it may hold writes that nobody else has"
            if self._mark(place, KEPT, kept):
                message = f"{self._volume_name(place)}: {kept} (aidb-admin salvage)"
                self.events.append(Event(VOLUME_KEPT, message, warning=True))
        self._delete(kinds.STATEFUL_SET, raw, place, why or "it was replaced", propagation=True)

    def tell_unknown(self, place: Place) -> None:
        message = (
            f"StatefulSet {self.view.names.primary(*place)} is of a shard that the topology never had: it is "
            "left alone. Delete it by hand if it is not needed"
        )
        self.events.append(Event(UNKNOWN_SHARD, message, warning=True))

    def reclaim(self, place: Place, raw: Raw) -> None:
        """The volume of one whose StatefulSet is gone."""
        metadata = raw["metadata"]
        if metadata.get("deletionTimestamp") or place in self.pods:
            return
        never_served = self._never_served(place)
        disposable = never_served or (metadata.get("annotations") or {}).get(DISPOSABLE)
        wanted = self.view.spec.storage.reclaim_policy.value == "Delete"
        if never_served or (disposable and wanted and self._is_served(place[0])):
            self._delete(kinds.VOLUME_CLAIM, raw, place, str(disposable))

    def forget(self, place: Place, pod: Pod) -> None:
        """A pod that is to end, on a node that carries nothing out any more. It may run on there: its epoch
        is over, so that it acknowledges nothing (D1, D3).
        """
        ended = pod.raw["metadata"].get("deletionTimestamp")
        if ended is None or not pod_health.unreachable(pod, self.view.observed):
            return
        if self.view.now < timestamp(ended) + LATE:
            self.waits = True
            return
        self.actions.append(
            Delete(
                kinds.POD,
                pod.name,
                pod.uid,
                f"node {pod.node} does not answer",
                grace=0,
                over=self._over(place),
            )
        )

    def _nothing_missing(self, place: Place) -> str:
        """Why nothing of it is missing elsewhere; empty: nobody knows."""
        if place[0] not in self.topology.shards:
            return "its shard was emptied and removed"
        if never_served := self._never_served(place):
            return never_served
        pod = self.pods.get(place)
        if pod is not None and pod_health.handed_over(pod):
            return "it was handed over: the object store has all of it"
        claim = self.view.observed.get(kinds.VOLUME_CLAIM, self._volume_name(place))
        found: str = ((claim or {}).get("metadata", {}).get("annotations") or {}).get(DISPOSABLE, "")
        return found

    def _never_served(self, place: Place) -> str:
        shard = self.topology.shards.get(place[0])
        return "it never served" if shard is not None and place[1] > shard.published else ""

    def _waited(self, raw: Raw) -> bool:
        """Since it was first seen to be replaced, which is written down."""
        metadata = raw["metadata"]
        since = (metadata.get("annotations") or {}).get(REPLACED_AT)
        self.waits = True
        if since is None:
            at = self.view.now.strftime("%Y-%m-%dT%H:%M:%SZ")
            body = {"metadata": {"annotations": {REPLACED_AT: at}}}
            self.actions.append(Patch(kinds.STATEFUL_SET, metadata["name"], body, "it was replaced"))
            return False
        return self.view.now >= timestamp(since) + WAIT

    def _mark(self, place: Place, annotation: str, why: str) -> bool:
        """Before its StatefulSet goes: afterwards nobody knows. False: it is marked, or there is none."""
        claim = self.view.observed.get(kinds.VOLUME_CLAIM, self._volume_name(place))
        if claim is None or annotation in (claim["metadata"].get("annotations") or {}):
            return False
        body = {"metadata": {"annotations": {annotation: why}}}
        self.actions.append(Patch(kinds.VOLUME_CLAIM, self._volume_name(place), body, why))
        return True

    def _is_served(self, shard: int) -> bool:
        """By its published primary; of a shard that is gone nothing is left to serve."""
        found = self.topology.shards.get(shard)
        if found is None:
            return True
        pod = self.pods.get((shard, found.published))
        return pod is not None and pod.ready

    def _delete(self, kind: Kind, raw: Raw, place: Place, why: str, propagation: bool = False) -> None:
        metadata = raw["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        self.actions.append(
            Delete(
                kind,
                metadata["name"],
                metadata["uid"],
                why,
                propagation="Background" if propagation else "",
                over=self._over(place),
            )
        )

    def _over(self, place: Place) -> Over:
        return Over(self.view.names.topology, place)

    def _volume_name(self, place: Place) -> str:
        return self.view.names.volume(*place)


def _volumes(view: View) -> Iterator[tuple[Place, Raw]]:
    found: Iterable[Raw] = view.observed.all(kinds.VOLUME_CLAIM)
    for raw in found:
        labels = raw["metadata"].get("labels") or {}
        shard, incarnation = names.number(labels, names.SHARD), names.number(labels, names.INCARNATION)
        if shard is not None and incarnation is not None:
            yield (shard, incarnation), raw
