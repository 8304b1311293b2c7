"""Carries out what was planned: only what differs is written."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import Api, ApiError
from aidb_operator.kubernetes.kinds import Raw, kind_of
from aidb_operator.observed import BadTopology, Observed, topology_of
from aidb_operator.plan.difference import difference
from aidb_operator.plan.metadata import digest
from aidb_operator.plan.outcome import Action, Call, Delete, Desired, Event, Over, Patch

log = logging.getLogger("aidb.operator")


class Caller(Protocol):
    """Calls to the leading coordinator."""

    def call(self, method: str, request: Any) -> Any:
        """Raises CallError."""


class CallError(Exception):
    """The coordinator refused, or was not reached; the message says which and why."""


@dataclass(slots=True)
class Applied:
    """What came of it. `changed`: something was written."""

    changed: int = 0
    events: list[Event] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def carry_out(
    actions: Sequence[Action],
    observed: Observed,
    namespace: str,
    api: Api,
    caller: Caller,
    stopped: Callable[[], bool] = lambda: False,
) -> Applied:
    """In order. One that fails keeps no other back but what destroys: nothing is deleted after a failure."""
    applied = Applied()
    for action in actions:
        if stopped():
            break
        if applied.errors and isinstance(action, Delete):
            continue
        try:
            match action:
                case Desired():
                    _apply(action, observed, namespace, api, applied)
                case Delete():
                    _delete(action, namespace, api, applied)
                case Patch():
                    _patch(action, namespace, api, applied)
                case Call():
                    caller.call(action.method, action.request)
                    _tell(applied, action.method, action.why)
                    for patch in action.then:
                        _patch(patch, namespace, api, applied)
        except (ApiError, CallError, BadTopology) as error:
            applied.errors.append(str(error))
    return applied


def _patch(patch: Patch, namespace: str, api: Api, applied: Applied) -> None:
    """One that is gone meanwhile needs none."""
    try:
        api.patch(patch.kind, namespace, patch.name, dict(patch.body), subresource=patch.subresource)
    except ApiError as error:
        if not error.gone:
            raise
    applied.changed += 1


def _apply(desired: Desired, observed: Observed, namespace: str, api: Api, applied: Applied) -> None:
    kind = kind_of(desired.raw)
    existing = observed.get(kind, desired.name)
    if existing is None or (not desired.only_count and needs_applying(desired, existing)):
        verb = "Created" if existing is None else "Updated"
        why = (
            ""
            if existing is None
            else f": {difference(existing, desired.raw) or 'a field is not named any more'}"
        )
        create = desired.fresh and existing is None
        wanted = marked(desired)
        existing = api.create(kind, namespace, wanted) if create else api.apply(wanted)
        _tell(applied, verb, f"{kind.name} {desired.name}{why}")
    if desired.replicas is not None and existing.get("spec", {}).get("replicas", 1) != desired.replicas:
        was = existing.get("spec", {}).get("replicas", 1)
        api.scale(kind, namespace, desired.name, desired.replicas)
        _tell(applied, "Scaled", f"{kind.name} {desired.name} from {was} to {desired.replicas}")


def _delete(action: Delete, namespace: str, api: Api, applied: Applied) -> None:
    if action.over is not None and not _is_over(action.over, namespace, api):
        return
    if api.delete(
        action.kind,
        namespace,
        action.name,
        uid=action.uid,
        propagation=action.propagation,
        grace=action.grace,
    ):
        _tell(applied, "Deleted", f"{action.kind.name} {action.name}: {action.why}")


def _is_over(over: Over, namespace: str, api: Api) -> bool:
    """Raises ApiError, BadTopology."""
    topology = topology_of(api.get(kinds.CONFIG_MAP, namespace, over.topology))
    return topology is not None and topology.is_over(over.place)


def needs_applying(desired: Desired, existing: Raw) -> bool:
    """An object of unchanged inputs that an operator of another version made is left as it is: it would
    restart pods for nothing that a user asked for.
    """
    annotations = existing["metadata"].get("annotations") or {}
    same = annotations.get(names.APPLIED) == _digest(desired)
    if not same and desired.inputs and annotations.get(names.INPUTS) == desired.inputs:
        return False
    return not same or difference(existing, desired.raw) != ""


def marked(desired: Desired) -> Raw:
    """With the hashes that `needs_applying` compares."""
    raw = copy.deepcopy(desired.raw)
    annotations = raw["metadata"].setdefault("annotations", {})
    annotations[names.APPLIED] = _digest(desired)
    if desired.inputs:
        annotations[names.INPUTS] = desired.inputs
    return raw


def _digest(desired: Desired) -> str:
    return digest(desired.raw)


def _tell(applied: Applied, reason: str, message: str) -> None:
    applied.changed += 1
    applied.events.append(Event(reason, message))
