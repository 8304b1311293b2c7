"""Which snapshot, and which pieces of the log: reads the store, and lets `restore_plan` decide (D9)."""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.catalog import Catalog
from aidb.durability.lineage import Branch
from aidb.durability.manifest import Manifest, parse_label
from aidb.durability.names import last_number
from aidb.durability.restore_plan import Step, Target, eligible
from aidb.durability.verification import steps_after
from aidb.objects.errors import NoSuchKey, Unusable


@dataclass(frozen=True, slots=True)
class Choice:
    """``branches`` newest first."""

    manifest: Manifest
    steps: tuple[Step, ...]
    branches: tuple[Branch, ...]


def choose(catalog: Catalog, target: Target, label: str = "") -> Choice:
    """``label``: of the snapshot to begin from, instead of the newest that will do.

    Raises:
        NoSuchKey: there is no snapshot to begin from.
        Unusable: the one asked for will not do.
        ObjectError
    """
    newest = catalog.newest_claim()
    branches = catalog.branches(newest)
    manifest = _named(catalog, label, branches, target) if label else _newest(catalog, branches, target)
    return Choice(manifest, tuple(steps_after(catalog, manifest, branches, target)), tuple(branches))


def _newest(catalog: Catalog, branches: list[Branch], target: Target) -> Manifest:
    """Epoch by epoch: snapshots that are not needed are not read."""
    for branch in branches:
        for stat in reversed(catalog.manifests(branch.epoch)):
            manifest = catalog.manifest(branch.epoch, last_number(stat.key) or 0)
            if eligible([manifest], branches, target):
                return manifest
    raise NoSuchKey(f"{catalog.names.root}e*/manifest/* that shows nothing after {target}", catalog.store.url)


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
