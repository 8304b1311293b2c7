"""The entry point `aidb.recovery`: for `aidb-admin recover`.

`in_place` brings a shard of a cluster that is stopped back to the directory that its primary starts from.
The log of its newest epoch is sealed first, so that an old primary that runs after all can archive nothing
more. The disk gets the identity of the one that was lost, by which its coordinator knows it, and is in the
epoch that was last claimed: to the coordinator it then is a restart in place (D10), whose cut is what
could be recovered.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import seal_log
from aidb.durability.restore_plan import Target
from aidb.objects.errors import NoSuchKey, Unusable
from aidb_node import identity
from aidb_node.recovery.recover import Report, Seen, recover

__all__ = ["in_place", "recover"]


def in_place(
    catalog: Catalog,
    directory: Path,
    target: Target,
    *,
    label: str = "",
    at_once: int = 8,
    accept_loss: bool = False,
    seen: Seen = lambda _what, _done, _total: None,
) -> Report:
    """As `recover`, into a primary's data directory.

    Raises:
        Unusable: nobody ever claimed the shard.
        StartRefused: the directory is another's.
        And as `recover`.
    """
    epoch = catalog.newest_claim()
    try:
        claim = catalog.claim(epoch)
    except NoSuchKey as error:
        raise Unusable(f"{catalog.store.url} has nothing of shard {catalog.names.shard}") from error
    _check_identity(directory, catalog, claim.id)
    seal_log(catalog, epoch, epoch + 1, uuid.uuid4().hex)
    report = recover(
        catalog,
        directory,
        target,
        label=label,
        at_once=at_once,
        accept_loss=accept_loss,
        epoch=epoch,
        seen=seen,
    )
    identity.restore(
        directory,
        identity.Identity(
            claim.id, catalog.names.shard, catalog.names.cluster_uid, pending_epoch=report.epoch
        ),
    )
    return report


def _check_identity(directory: Path, catalog: Catalog, disk_id: str) -> None:
    """A directory that belongs to somebody must belong to this shard."""
    path = directory / identity.FILE
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        return
    found = identity.parse(path.read_bytes(), directory)
    names = catalog.names
    if (found.shard, found.cluster_uid or names.cluster_uid) != (names.shard, names.cluster_uid):
        raise Unusable(
            f"{directory} belongs to shard {found.shard} of cluster {found.cluster_uid}, "
            f"not to shard {names.shard} of {names.cluster_uid}: give another directory"
        )
    if found.disk_id != disk_id:
        raise Unusable(
            f"{directory} is disk {found.disk_id}, "
            f"the shard was last served from disk {disk_id}: move it away"
        )
