"""D8: whether a coordinator may go on with what lies in its object store.

A store that has a newer version of the topology than the coordinator's directory shows that the directory is
an old copy: its epochs would be given out twice. A store that has objects of a cluster that is about to be
made shows that the directory was lost: the first primary's epoch would be one that was served before. The
store may be away; a cluster that has its directory then starts all the same, a new one does not.
"""

from __future__ import annotations

import logging

from aidb.durability.history import History
from aidb.durability.stamp import shards
from aidb.objects.errors import ObjectError
from aidb.objects.opening import connect
from aidb_coordinator.settings import Settings, SettingsError
from aidb_coordinator.topology import Topology

log = logging.getLogger("aidb.coordinator")


def check(settings: Settings, known: Topology | None) -> None:
    """``known``: what the directory has; None: a new cluster. Raises SettingsError."""
    uid = settings.cluster_uid if known is None else known.cluster_uid
    if not settings.objects or not uid:
        return  # a uid that is yet to be drawn is nobody's
    try:
        newest, holds_data = _found(settings.objects, uid)
    except ObjectError as error:
        if known is None:
            raise SettingsError(
                f"cannot tell whether {settings.objects} has data of cluster {uid}: {error}"
            ) from error
        log.warning("cannot compare the topology with the one in %s: %s", settings.objects, error)
        return
    problem = judge(settings, uid, known, newest, holds_data)
    if problem:
        raise SettingsError(problem)


def judge(settings: Settings, uid: str, known: Topology | None, newest: int, holds_data: bool) -> str:
    """What is wrong, or nothing. ``newest``: version of the topology in the store, 0 = none."""
    if known is not None:
        if newest <= known.version:
            return ""
        return (
            f"{settings.objects} has topology version {newest} of cluster {uid}, {settings.place} only "
            f"{known.version}: it is an old copy; start with the newest one, or restore the cluster with "
            "aidb-admin recover"
        )
    if settings.adopt or not (newest or holds_data):
        return ""
    return (
        f"{settings.objects} has data of cluster {uid}, {settings.place} has no topology: put the "
        "coordinator's directory back, restore the cluster with aidb-admin recover, or begin a new one all "
        "the same with --adopt"
    )


def _found(url: str, uid: str) -> tuple[int, bool]:
    store = connect(url)
    try:
        return History(store, uid).newest_version(), bool(shards(store, uid))
    finally:
        store.close()
