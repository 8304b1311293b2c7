"""Which snapshot, and which pieces of the log: reads the store, and lets `restore_plan` decide (D9).

Where no snapshot will do, history may still be whole from its begin, and is replayed onto nothing: what was
archived before the first snapshot was complete is as safe as what came later (D4).
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.catalog import Catalog
from aidb.durability.lineage import Branch
from aidb.durability.manifest import Manifest, parse_label
from aidb.durability.names import last_number
from aidb.durability.piece import Piece
from aidb.durability.restore_plan import Step, Target, eligible
from aidb.durability.verification import steps_after
from aidb.objects.errors import NoSuchKey, Unusable


@dataclass(frozen=True, slots=True)
class Choice:
    """``manifest`` None: from an empty store. ``branches`` newest first."""

    manifest: Manifest | None
    steps: tuple[Step, ...]
    branches: tuple[Branch, ...]

    @property
    def size(self) -> int:
        """Bytes of the tables to begin from."""
        return self.manifest.size if self.manifest else 0


def choose(catalog: Catalog, target: Target, label: str = "") -> Choice:
    """``label``: of the snapshot to begin from, instead of the newest that will do.

    Raises:
        NoSuchKey: there is no snapshot to begin from, and the log is not there from its begin.
        Unusable: the one asked for will not do.
        ObjectError
    """
    newest = catalog.newest_claim()
    branches = catalog.branches(newest)
    manifest = _named(catalog, label, branches, target) if label else _newest(catalog, branches, target)
    if manifest is not None:
        todo = steps_after(catalog, manifest.log, branches, target)
    elif not branches or not _has_begin(catalog, branches):
        raise NoSuchKey(
            f"{catalog.names.root}e*/manifest/* that shows nothing after {target}", catalog.store.url
        )
    else:
        todo = steps_after(catalog, (branches[-1].epoch, 0), branches, target)
    return Choice(manifest, tuple(todo), tuple(branches))


def _has_begin(catalog: Catalog, branches: list[Branch]) -> bool:
    """Whether the first piece there is begins where history does. Epochs in which nothing was archived have
    none; while all are such, history is empty.
    """
    for branch in reversed(branches):
        if catalog.log_end(branch.epoch) is None:
            continue
        try:
            first = catalog.piece(branch.epoch, 0)
        except NoSuchKey:
            return False
        if isinstance(first, Piece):
            return first.previous_lsn == 0
    return True


def _newest(catalog: Catalog, branches: list[Branch], target: Target) -> Manifest | None:
    """Epoch by epoch: snapshots that are not needed are not read."""
    for branch in branches:
        for stat in reversed(catalog.manifests(branch.epoch)):
            manifest = catalog.manifest(branch.epoch, last_number(stat.key) or 0)
            if eligible([manifest], branches, target):
                return manifest
    return None


def _named(catalog: Catalog, label: str, branches: list[Branch], target: Target) -> Manifest:
    place = parse_label(label)
    if place is None:
        raise Unusable(f"{label!r} names no snapshot: aidb-admin backups lists them")
    manifest = catalog.manifest(*place)
    if not eligible([manifest], branches, target):
        raise Unusable(
            f"snapshot {label} shows lsn {manifest.lsn}: it is after {target}, or what it shows was given up "
            "by a takeover or a restore"
        )
    return manifest
