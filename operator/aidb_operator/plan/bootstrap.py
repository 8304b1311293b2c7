"""How a cluster begins with the data of another one: what its first coordinator is told.

That makes the first topology of it; from then on the topology is what counts, and nothing of this is looked
at any more, so the AidbBackup that it came from may go.
"""

from __future__ import annotations

from collections.abc import Sequence

from aidb_operator.api.backup import BackupPhase
from aidb_operator.api.object_store import Bucket
from aidb_operator.api.recovery import Recovery
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.plan import backups, object_store
from aidb_operator.plan.outcome import View
from aidb_operator.plan.telling import to_ms


class NoSource(ValueError):
    """There is nothing to begin with, yet; the message names the field."""


def recovery(view: View) -> Recovery | None:
    """None: it begins empty, or has begun."""
    if view.observed.topology is not None or view.spec.bootstrap is None:
        return None
    return view.spec.bootstrap.recovery


def arguments(view: View) -> Sequence[str]:
    """Of the coordinator. Raises NoSource."""
    wanted = recovery(view)
    if wanted is None:
        return ()
    clock_ms = 0
    if wanted.time is not None:
        try:
            clock_ms = to_ms(wanted.time)
        except ValueError as error:
            raise NoSource(f"spec.bootstrap.recovery.time: {error}") from error
    if wanted.source is not None:
        return _told(object_store.url(wanted.source), wanted.cluster_uid or "", clock_ms)
    url, uid, backup_ms = _of_backup(view.observed.source, wanted.backup or "")
    return _told(url, uid, clock_ms or backup_ms)


def _of_backup(raw: Raw | None, name: str) -> tuple[str, str, int]:
    """URL, uid and time. Raises NoSource."""
    backup = None if raw is None else backups.read(raw)
    if backup is None:
        raise NoSource(f"spec.bootstrap.recovery.backup: there is no AidbBackup {name}")
    status = backup.status
    if status.phase is not BackupPhase.COMPLETE or None in (status.url, status.cluster_uid, status.time):
        raise NoSource(f"spec.bootstrap.recovery.backup: AidbBackup {name} is not complete")
    bucket = Bucket(url=str(status.url), endpoint=status.endpoint, region=status.region)
    return object_store.url(bucket), str(status.cluster_uid), to_ms(str(status.time))


def _told(url: str, uid: str, clock_ms: int) -> Sequence[str]:
    found = ["--recover-from", url]
    if uid:
        found += ["--recover-uid", uid]
    if clock_ms:
        found += ["--recover-time", str(clock_ms)]
    return found
