"""The pure part of joining: what to ask for, and what an answer means (D10)."""

from __future__ import annotations

from dataclasses import dataclass

from aidb import errors
from aidb.errors import ErrorCode
from aidb_node.identity import Identity

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0

# Another attempt with the same words gets the same answer.
_FINAL = frozenset(
    {
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.UNSUPPORTED,
        ErrorCode.WRONG_CLUSTER,
        ErrorCode.REGISTRATION_REFUSED,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.PERMISSION_DENIED,
    }
)


@dataclass(frozen=True, slots=True)
class Request:
    """What a start says of its disk; zeros for roles without one."""

    cluster_uid: str = ""
    disk_epoch: int = 0
    pending_epoch: int = 0
    last_lsn: int = 0


def request_of(identity: Identity, disk_epoch: int, last_lsn: int) -> Request:
    """What to ask for: the epoch after the disk's, or a later one that it has taken (D3) or asked for before
    and not begun. It has to be on the disk before it is asked for.
    """
    return Request(identity.cluster_uid, disk_epoch, max(disk_epoch + 1, identity.pending_epoch), last_lsn)


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again after `pause` seconds (to be jittered)."""

    pause: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No answer to this request will ever be different."""

    message: str


def after_failure(error: errors.AidbError, attempt: int) -> Retry | GiveUp:
    """What to do after the failed attempt number `attempt` (from 0)."""
    if error.code in _FINAL:
        return GiveUp(error.message)
    pause = min(FIRST_PAUSE * 2 ** min(attempt, 16), LONGEST_PAUSE)
    return Retry(max(pause, error.retry_after or 0.0))


def check_grant(request: Request, cluster_uid: str, epoch: int) -> str:
    """What is wrong with a grant, or nothing: the coordinator may have been reset or mixed up."""
    if request.cluster_uid and cluster_uid != request.cluster_uid:
        return (
            f"this disk belongs to cluster {request.cluster_uid}, the coordinator to {cluster_uid}: "
            "check --coordinator"
        )
    if request.pending_epoch and epoch <= request.disk_epoch:
        return (
            f"the coordinator granted epoch {epoch}, but this disk has seen {request.disk_epoch}: "
            "it runs on an old copy of its data"
        )
    return ""
