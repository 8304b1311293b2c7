"""The entry point `aidb.recovery`: for `aidb-admin recover`.

`in_place` brings a shard of a cluster that is stopped back to the directory that its primary starts from.
The logs of its epochs are sealed first, so that an old primary that runs after all can archive nothing
more. The disk gets the identity of the one that was lost, by which its coordinator knows it, and is in the
epoch that was last claimed: to the coordinator it then is a restart in place (D10), whose cut is what
could be recovered.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import seal_before
from aidb.durability.restore_plan import Target
from aidb.objects.errors import NoSuchKey, Unusable
from aidb_node import identity
from aidb_node.recovery import origin
from aidb_node.recovery.drill import drill
from aidb_node.recovery.recover import Options, Prepared, Report, prepare, recover

__all__ = ["drill", "in_place", "prepare", "prepare_in_place", "recover"]


@dataclass(frozen=True, slots=True)
class PreparedInPlace:
    """As `Prepared`, with the identity that the disk will have, and where in the archive it comes from."""

    prepared: Prepared
    identity: identity.Identity
    origin: origin.Origin

    @property
    def report(self) -> Report:
        return self.prepared.report

    @property
    def disk_id(self) -> str:
        return self.identity.disk_id

    def put_in_place(self) -> Report:
        """Raises OSError."""
        directory = self.prepared.directory
        origin.write(directory, self.prepared.work, self.origin)
        report = self.prepared.put_in_place()
        identity.restore(directory, self.identity)
        return report


def in_place(catalog: Catalog, directory: Path, target: Target, **options: Unpack[Options]) -> Report:
    """As `recover`, into a primary's data directory: see `prepare_in_place`."""
    return prepare_in_place(catalog, directory, target, **options).put_in_place()


def prepare_in_place(
    catalog: Catalog, directory: Path, target: Target, **options: Unpack[Options]
) -> PreparedInPlace:
    """As `prepare`. ``epoch``: the newest that was published, if it is known; it may never have been claimed.

    Raises:
        Unusable: nobody ever claimed the shard.
        StartRefused: the directory is another's.
        And as `recover`.
    """
    claimed = catalog.newest_claim()
    epoch = max(options.get("epoch", 0), claimed)
    try:
        claim = catalog.claim(claimed)
    except NoSuchKey as error:
        raise Unusable(f"{catalog.store.url} has nothing of shard {catalog.names.shard}") from error
    _check_identity(directory, catalog, claim.id)
    # All of them, oldest first: who died before it had sealed those before its own left some open.
    seal_before(catalog, epoch + 1, uuid.uuid4().hex)
    options["epoch"] = epoch
    prepared = prepare(catalog, directory, target, **options)
    names, report = catalog.names, prepared.report
    return PreparedInPlace(
        prepared,
        identity.Identity(claim.id, names.shard, names.cluster_uid, pending_epoch=report.epoch),
        origin.origin_of(catalog, claimed, report.lsn),
    )


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
