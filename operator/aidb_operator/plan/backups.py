"""Backups by AidbBackup: the coordinator takes a snapshot of every shard, and holds it until it is released.

The object's uid is the backup's id: what was asked before is found again, and a coordinator that restarted is
asked again. A finalizer is there only where deleting the object lets retention have the snapshots; it goes
when the coordinator has released them, or when there is no cluster any more, whose retention it would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.api.backup import AidbBackup, BackupPhase, DeletionPolicy
from aidb_operator.api.conditions import Type
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.names import GROUP
from aidb_operator.observed import timestamp
from aidb_operator.plan.outcome import Action, Call, Condition, Event, Outcome, Patch, View
from aidb_operator.plan.telling import of_ms, rfc3339, status

FINALIZER = f"{GROUP}/backup"
ENDED = (BackupPhase.COMPLETE, BackupPhase.FAILED)
# Seconds between two looks at one that runs.
LOOK = 2.0


def plan(view: View) -> Outcome:
    actions: list[Action] = []
    events: list[Event] = []
    again: list[float] = []
    for raw in view.observed.all(kinds.BACKUP):
        found = read(raw)
        if found is None:
            continue
        if found.deleting:
            actions += _release(view, raw, found)
        elif found.status.phase not in ENDED:
            step = _go_on(view, raw, found)
            actions += step.actions
            events += step.events
            again.append(LOOK)
    return Outcome(actions=actions, events=events, again=min(again, default=None))


def read(raw: Raw) -> AidbBackup | None:
    """None: no version of ours has written it."""
    try:
        return AidbBackup.of(raw)
    except ValidationError:
        return None


def orphaned(objects: Mapping[Kind, Mapping[str, Raw]]) -> list[Patch]:
    """Of a cluster that is gone: nobody is left who would collect what is released."""
    return [
        _without_finalizer(raw)
        for raw in objects.get(kinds.BACKUP, {}).values()
        if "deletionTimestamp" in raw["metadata"] and FINALIZER in (raw["metadata"].get("finalizers") or ())
    ]


def _go_on(view: View, raw: Raw, backup: AidbBackup) -> Outcome:
    now = view.now
    began = backup.status.started or rfc3339(now)
    if view.spec.object_store is None:
        return _failed(
            view, raw, backup, began, "NoObjectStore", "spec.objectStore of the cluster is not set"
        )
    actions: list[Action] = []
    releases = backup.spec.deletion_policy is DeletionPolicy.RELEASE
    if releases and FINALIZER not in backup.metadata.finalizers:
        finalizers = [*backup.metadata.finalizers, FINALIZER]
        actions.append(Patch(kinds.BACKUP, backup.name, _metadata(raw, finalizers), "its finalizer"))
    seconds = (now - timestamp(began)).total_seconds()
    said = _said(view, backup.metadata.uid)
    if said is not None and said.complete:
        return _complete(view, raw, backup, began, said, actions)
    if seconds > backup.spec.deadline_seconds:
        return _failed(view, raw, backup, began, "DeadlineExceeded", _why(view, said))
    if said is None and view.observed.coordination is not None:
        request = pb.BackupClusterRequest(id=backup.metadata.uid, name=backup.name)
        actions.append(Call("BackupCluster", request, f"AidbBackup {backup.name}"))
    phase = BackupPhase.PENDING if view.observed.coordination is None else BackupPhase.RUNNING
    fields = {"phase": phase.value, "started": began, "url": view.spec.object_store.url}
    conditions = (Condition(Type.COMPLETE, False, phase.value, _why(view, said)),)
    actions += status(kinds.BACKUP, raw, backup.status.conditions, now, fields, conditions)
    return Outcome(actions=actions)


def _complete(
    view: View, raw: Raw, backup: AidbBackup, began: str, said: Any, actions: list[Action]
) -> Outcome:
    store = view.spec.object_store
    assert store is not None
    shards = [
        {
            "shard": one.shard,
            "snapshot": one.snapshot,
            "lsn": one.lsn,
            "bytes": one.bytes,
            "time": of_ms(one.at_ms),
        }
        for one in said.shards
    ]
    fields = {
        "phase": BackupPhase.COMPLETE.value,
        "started": began,
        "finished": of_ms(said.ended_ms),
        "url": store.url,
        "endpoint": store.endpoint,
        "region": store.region,
        "clusterUid": said.cluster_uid,
        "time": of_ms(said.clock_ms),
        "bytes": sum(one.bytes for one in said.shards),
        "shards": shards,
    }
    message = f"snapshots of {len(shards)} shards, held until this object is deleted"
    conditions = (
        Condition(Type.COMPLETE, True, "Complete", message),
        Condition(Type.FAILED, False, "Complete"),
    )
    actions += status(kinds.BACKUP, raw, backup.status.conditions, view.now, fields, conditions)
    event = Event("BackupComplete", f"AidbBackup {backup.name}: {len(shards)} shards")
    return Outcome(actions=actions, events=[event])


def _failed(view: View, raw: Raw, backup: AidbBackup, began: str, reason: str, message: str) -> Outcome:
    fields = {"phase": BackupPhase.FAILED.value, "started": began, "finished": rfc3339(view.now)}
    conditions = (
        Condition(Type.COMPLETE, False, reason, message),
        Condition(Type.FAILED, True, reason, message),
    )
    told = status(kinds.BACKUP, raw, backup.status.conditions, view.now, fields, conditions)
    event = Event("BackupFailed", f"AidbBackup {backup.name}: {message}", warning=True)
    return Outcome(actions=told, events=[event])


def _release(view: View, raw: Raw, backup: AidbBackup) -> list[Action]:
    if FINALIZER not in backup.metadata.finalizers:
        return []
    patch = _without_finalizer(raw)
    if view.spec.object_store is None or "deletionTimestamp" in view.cluster["metadata"]:
        return [patch]
    if view.observed.coordination is None:
        return []  # when one answers again
    request = pb.BackupClusterRequest(id=backup.metadata.uid, release=True)
    return [Call("BackupCluster", request, f"AidbBackup {backup.name} was deleted: released", then=[patch])]


def _without_finalizer(raw: Raw) -> Patch:
    metadata = raw["metadata"]
    left = [one for one in metadata.get("finalizers") or () if one != FINALIZER]
    return Patch(kinds.BACKUP, metadata["name"], _metadata(raw, left), "its finalizer goes")


def _metadata(raw: Raw, finalizers: list[str]) -> Raw:
    """Refused when somebody else has changed them meanwhile: a list is replaced as a whole."""
    version = raw["metadata"].get("resourceVersion")
    return {"metadata": {"finalizers": finalizers, "resourceVersion": version}}


def _said(view: View, id: str) -> Any:
    coordination = view.observed.coordination
    found = () if coordination is None else coordination.status.backups
    return next((one for one in found if one.id == id), None)


def _why(view: View, said: Any) -> str:
    """What it waits for."""
    if view.observed.coordination is None:
        return f"no coordinator answers: {view.observed.silence}"
    if said is None:
        return "asked for"
    problems = [f"shard {one.shard}: {one.problem}" for one in said.shards if one.problem]
    done = sum(1 for one in said.shards if one.snapshot)
    return "; ".join([f"{done} shards done", *problems])
