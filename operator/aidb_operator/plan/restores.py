"""Restores by AidbRestore: the running cluster, or some of its shards, go back to what the object store has.

The coordinator puts it into the topology, which then names incarnations that are to restore themselves; they
are made as any others. One restore at a time, the oldest first. The object's uid is the restore's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from aidb.v1 import cluster_pb2 as pb
from aidb_operator.api.backup import BackupPhase
from aidb_operator.api.conditions import Type
from aidb_operator.api.restore import AidbRestore
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.plan import backups
from aidb_operator.plan.outcome import Action, Call, Condition, Event, Outcome, View
from aidb_operator.plan.telling import of_ms, rfc3339, status, to_ms

LOOK = 2.0


class CannotRestore(ValueError):
    """Why not; nothing will change that."""


@dataclass(frozen=True, slots=True)
class Target:
    """ms since 1970, an LSN; 0 = not to one. Neither: the newest."""

    clock_ms: int = 0
    lsn: int = 0


def plan(view: View) -> Outcome:
    unfinished = []
    for raw in view.observed.all(kinds.RESTORE):
        try:
            found = AidbRestore.of(raw)
        except ValidationError:
            continue
        if found.status.phase not in backups.ENDED and not found.deleting:
            unfinished.append((found.metadata.creation_timestamp or "", found.name, raw, found))
    # One that has begun goes on before an older one that could not.
    unfinished.sort(key=lambda one: (one[3].status.phase is not BackupPhase.RUNNING, *one[:2]))
    if not unfinished:
        return Outcome()
    _, _, raw, first = unfinished[0]
    outcome = _go_on(view, raw, first)
    actions = list(outcome.actions)
    for _, _, other, restore in unfinished[1:]:
        message = f"AidbRestore {first.name} is under way"
        told = (Condition(Type.COMPLETE, False, "Waiting", message),)
        fields = {"phase": BackupPhase.PENDING.value}
        actions += status(kinds.RESTORE, other, restore.status.conditions, view.now, fields, told)
    return Outcome(actions=actions, events=outcome.events, again=LOOK)


def _go_on(view: View, raw: Raw, restore: AidbRestore) -> Outcome:
    try:
        target = _target(view, restore)
    except CannotRestore as error:
        return _failed(view, raw, restore, "Invalid", str(error))
    coordination = view.observed.coordination
    if coordination is None:
        message = f"no coordinator answers: {view.observed.silence}"
        return _running(view, raw, restore, target, (), restore.status.phase, message)
    said = next((one for one in coordination.status.restores if one.id == restore.metadata.uid), None)
    if said is None:
        request = pb.RestoreRequest(
            id=restore.metadata.uid,
            shards=restore.spec.shards,
            clock_ms=target.clock_ms,
            lsn=target.lsn,
        )
        call = Call("Restore", request, f"AidbRestore {restore.name}, to {_words(target)}")
        told = _running(view, raw, restore, target, (), BackupPhase.RUNNING, "asked for")
        # First it is said that it began: who sees it so will not let another go before it.
        return Outcome(actions=[*told.actions, call])
    if said.error:
        return _failed(view, raw, restore, "Refused", said.error)
    states = {one.id: one for one in coordination.status.shards}
    waiting = tuple(
        shard
        for shard in said.shards
        if shard in said.waiting or shard not in states or states[shard].state != pb.SHARD_RUNNING
    )
    if waiting:
        reasons = [f"shard {shard}: {states[shard].reason}" for shard in waiting if shard in states]
        return _running(view, raw, restore, target, waiting, BackupPhase.RUNNING, "; ".join(reasons))
    return _complete(view, raw, restore, target)


def _target(view: View, restore: AidbRestore) -> Target:
    """Raises CannotRestore."""
    spec = restore.spec
    if view.spec.object_store is None:
        raise CannotRestore("spec.objectStore of the cluster is not set")
    if spec.lsn is not None:
        return Target(lsn=spec.lsn)
    if spec.time is not None:
        try:
            return Target(clock_ms=to_ms(spec.time))
        except ValueError as error:
            raise CannotRestore(f"spec.time: {error}") from error
    if spec.backup is None:
        return Target()
    raw = view.observed.get(kinds.BACKUP, spec.backup)
    backup = None if raw is None else backups.read(raw)
    if backup is None:
        raise CannotRestore(f"spec.backup: there is no AidbBackup {spec.backup} of this cluster")
    if backup.status.phase is not BackupPhase.COMPLETE or backup.status.time is None:
        raise CannotRestore(f"spec.backup: AidbBackup {spec.backup} is not complete")
    topology = view.observed.topology
    if topology is not None and topology.cluster_uid != backup.status.cluster_uid:
        raise CannotRestore(
            f"spec.backup: AidbBackup {spec.backup} is of cluster {backup.status.cluster_uid}, this is "
            f"{topology.cluster_uid}: begin a new cluster with spec.bootstrap.recovery"
        )
    return Target(clock_ms=to_ms(backup.status.time))


def _running(
    view: View,
    raw: Raw,
    restore: AidbRestore,
    target: Target,
    waiting: tuple[int, ...],
    phase: BackupPhase | None,
    message: str,
) -> Outcome:
    phase = phase or BackupPhase.PENDING
    fields = _fields(view, restore, target) | {"phase": phase.value, "waiting": list(waiting)}
    told = (Condition(Type.COMPLETE, False, phase.value, message),)
    return Outcome(
        actions=list(status(kinds.RESTORE, raw, restore.status.conditions, view.now, fields, told))
    )


def _complete(view: View, raw: Raw, restore: AidbRestore, target: Target) -> Outcome:
    fields = _fields(view, restore, target) | {
        "phase": BackupPhase.COMPLETE.value,
        "finished": rfc3339(view.now),
        "waiting": [],
    }
    message = f"restored to {_words(target)}"
    conditions = (
        Condition(Type.COMPLETE, True, "Complete", message),
        Condition(Type.FAILED, False, "Complete"),
    )
    actions: list[Action] = list(
        status(kinds.RESTORE, raw, restore.status.conditions, view.now, fields, conditions)
    )
    return Outcome(
        actions=actions, events=[Event("RestoreComplete", f"AidbRestore {restore.name}: {message}")]
    )


def _failed(view: View, raw: Raw, restore: AidbRestore, reason: str, message: str) -> Outcome:
    fields = {"phase": BackupPhase.FAILED.value, "finished": rfc3339(view.now)}
    conditions = (
        Condition(Type.COMPLETE, False, reason, message),
        Condition(Type.FAILED, True, reason, message),
    )
    told = status(kinds.RESTORE, raw, restore.status.conditions, view.now, fields, conditions)
    event = Event("RestoreFailed", f"AidbRestore {restore.name}: {message}", warning=True)
    return Outcome(actions=list(told), events=[event])


def _fields(view: View, restore: AidbRestore, target: Target) -> dict[str, Any]:
    return {"started": restore.status.started or rfc3339(view.now), "time": of_ms(target.clock_ms)}


def _words(target: Target) -> str:
    return f"lsn {target.lsn}" if target.lsn else of_ms(target.clock_ms) or "the newest"
