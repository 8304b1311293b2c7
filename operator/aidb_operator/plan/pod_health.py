"""What is wrong with a pod, and whether it will go away by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from aidb_operator import names
from aidb_operator.observed import Observed, Pod, timestamp

# Longer than any restart in place takes. After it a pod that is not ready counts as one that fails.
PATIENCE = timedelta(minutes=10)
# `aidb-node` ends so when all that its directory has is in the object store (D6), and with nothing else.
HANDED_OVER = 3

_WILL_NOT_START = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


def failing(pod: Pod, now: datetime) -> str:
    """Why it will hardly become ready without a change; empty: it is ready, or may become so."""
    if pod.ready or pod.deleted:
        return ""
    for waiting in _states(pod, "waiting"):
        reason = str(waiting.get("reason", ""))
        if reason in _WILL_NOT_START:
            return _told(reason, waiting.get("message"))
    if now - age_begin(pod, now) < PATIENCE:
        return ""
    return unschedulable(pod) or f"it is not ready for {PATIENCE.total_seconds() / 60:.0f} minutes"


def unschedulable(pod: Pod) -> str:
    """Why no node takes it; empty: one does, or the scheduler has not looked."""
    for condition in pod.raw.get("status", {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _told(condition.get("reason") or "Unschedulable", condition.get("message"))
    return ""


def handed_over(pod: Pod) -> bool:
    """Whether its program said, by its exit, that it handed over in order."""
    return any(ended.get("exitCode") == HANDED_OVER for ended in _states(pod, "terminated"))


def unreachable(pod: Pod, observed: Observed) -> bool:
    """Its node is gone or silent: nobody there carries out what the API says. False where the operator may
    not see nodes.
    """
    if not pod.node or not observed.nodes:
        return False
    node = observed.nodes.get(pod.node)
    return node is None or not node.ready


def inputs(pod: Pod) -> str:
    """Hash of what it was made from."""
    text: str = (pod.raw["metadata"].get("annotations") or {}).get(names.INPUTS, "")
    return text


def age_begin(pod: Pod, now: datetime) -> datetime:
    created = pod.raw["metadata"].get("creationTimestamp")
    return timestamp(created) if created else now


def _states(pod: Pod, kind: str) -> Iterator[dict[str, Any]]:
    """Of its containers now, and before their last restart."""
    status = pod.raw.get("status", {})
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        for when in ("state", "lastState"):
            found = (container.get(when) or {}).get(kind)
            if found is not None:
                yield found


def _told(reason: Any, message: Any) -> str:
    return f"{reason}: {message}" if message else str(reason)
