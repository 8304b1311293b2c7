"""What may be deleted (D7).

Kept are: the newest snapshots, those that are young, those from which somebody restores, and everything
they need: their SSTs, and the log from the oldest one's position on. Never collected are claims, and the
last two objects of every epoch's log: the seal, or the place where it will be (c1, c3: an old primary that
finds the name free would go on), and the piece that says where the log ended. What is younger than the
minimum age stays: it may belong to a snapshot that is being made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aidb.durability.identity import Place
from aidb.durability.manifest import Manifest
from aidb.durability.names import Names, last_number
from aidb.objects.store import Stat

_DAY_MS = 86_400_000
# The seal, and the piece before it, which says where the log of the epoch ended.
_LAST_KEPT = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """``keep`` snapshots at least (1 or more), and all that are younger than ``keep_days``."""

    keep: int = 24
    keep_days: float = 7.0
    minimum_age: float = 86_400.0

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError("at least one snapshot has to be kept")
        if self.minimum_age < 60:
            raise ValueError("the minimum age is at least a minute: uploads are under way")


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """Deletions in the order in which they have to be made; ``kept`` newest first."""

    kept: tuple[Manifest, ...]
    manifests: tuple[Stat, ...]
    tables: tuple[Stat, ...]
    pieces: tuple[Stat, ...]

    @property
    def deletions(self) -> tuple[Stat, ...]:
        return self.manifests + self.tables + self.pieces

    @property
    def bytes(self) -> int:
        return sum(stat.size for stat in self.deletions)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in the store. ``logs`` by epoch, in order; ``manifests`` with their stats."""

    manifests: Sequence[tuple[Manifest, Stat]]
    tables: Sequence[Stat]
    logs: Mapping[int, Sequence[Stat]]


def retention_plan(
    inventory: Inventory, policy: Policy, held: Collection[Place], now: float, *, spare_tables: bool = False
) -> RetentionPlan:
    """``held``: manifests from which somebody restores. ``spare_tables``: a snapshot is being made.
    ``now`` in seconds since 1970, by the clock of the ages.
    """
    newest_first = sorted(inventory.manifests, key=lambda item: _order(item[0]), reverse=True)
    young_from = now * 1000 - policy.keep_days * _DAY_MS
    kept, dropped = [], []
    for position, (manifest, stat) in enumerate(newest_first):
        needed = position < policy.keep or manifest.at_ms >= young_from or manifest.place in held
        if needed or not _old(stat, policy, now):
            kept.append(manifest)
        else:
            dropped.append(stat)
    if not kept:
        return RetentionPlan((), (), (), ())
    referenced = {file.sha256 for manifest in kept for file in manifest.files}
    tables = [
        stat
        for stat in inventory.tables
        if not spare_tables and stat.key.rpartition("/")[2] not in referenced and _old(stat, policy, now)
    ]
    pieces = _unneeded_pieces(inventory.logs, kept, policy, now)
    return RetentionPlan(tuple(kept), tuple(dropped), tuple(tables), tuple(pieces))


def _unneeded_pieces(
    logs: Mapping[int, Sequence[Stat]], kept: Iterable[Manifest], policy: Policy, now: float
) -> Iterable[Stat]:
    needed_from = [manifest.log for manifest in kept if manifest.log is not None]
    if not needed_from:
        return
    oldest = min(needed_from)
    for epoch in sorted(logs):
        for stat in logs[epoch][:-_LAST_KEPT]:
            sequence = last_number(stat.key)
            if sequence is not None and (epoch, sequence) < oldest and _old(stat, policy, now):
                yield stat


def _old(stat: Stat, policy: Policy, now: float) -> bool:
    return stat.modified < now - policy.minimum_age


def _order(manifest: Manifest) -> tuple[int, int]:
    return manifest.place.epoch, manifest.place.sequence


def names_of(plan: RetentionPlan, names: Names) -> list[str]:
    """The deletions as people read them."""
    return [stat.key.removeprefix(names.root) for stat in plan.deletions]
