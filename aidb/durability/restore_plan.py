"""From which snapshot a restore begins, and which pieces of the log it then replays.

The snapshot is the newest one of the lineage that is not after the target. The log is followed from the
position that the snapshot names, piece by piece, through the epochs of the lineage up to their cuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aidb.durability.lineage import END, Branch
from aidb.durability.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Owned:
    """Slots that a shard has from an LSN on."""

    first: int
    last: int
    since_lsn: int


@dataclass(frozen=True, slots=True)
class Target:
    """An LSN, a time of the shard's clock, or the newest. ``least_lsn``: a restore to a time goes on through
    this LSN, where the shard acquired slots that it owned then (D9). ``owned``: those slots. A shard that
    lost some of them a moment later, and whose clock is behind the coordinator's, stops before it deletes
    them.
    """

    lsn: int = END
    clock_ms: int = END
    least_lsn: int = 0
    owned: tuple[Owned, ...] = ()

    def gives_up(self, lsn: int, first: int, last: int) -> bool:
        """Whether a deletion of those slots at ``lsn`` is of any that it owns then."""
        return any(one.first <= last and first <= one.last and lsn > one.since_lsn for one in self.owned)

    def __str__(self) -> str:
        if self.lsn != END:
            return f"lsn {self.lsn}"
        return "the newest" if self.clock_ms == END else f"clock {self.clock_ms}"


@dataclass(frozen=True, slots=True)
class Step:
    """A piece to replay, through the LSN ``through``. ``missing``: it is not there, though later ones are."""

    epoch: int
    sequence: int
    through: int
    missing: bool = False


def eligible(manifests: Iterable[Manifest], branches: Sequence[Branch], target: Target) -> list[Manifest]:
    """Snapshots of the lineage that show nothing from after the target, newest first."""
    cuts = {branch.epoch: branch.cut for branch in branches}
    found = [
        manifest
        for manifest in manifests
        if manifest.lsn <= min(cuts.get(manifest.place.epoch, -1), target.lsn)
        and manifest.clock_ms <= target.clock_ms
    ]
    found.sort(key=lambda manifest: (manifest.place.epoch, manifest.place.sequence), reverse=True)
    return found


def steps(
    position: tuple[int, int], branches: Sequence[Branch], logs: Mapping[int, Sequence[int]], target: Target
) -> list[Step]:
    """``position``: (epoch, sequence) to begin from. ``branches`` newest first. ``logs``: the sequence
    numbers that are there, ascending, of each epoch from the position on; the last of an epoch is its seal,
    or a piece.
    """
    first_epoch, first_sequence = position
    found = []
    for branch in reversed(branches):
        if branch.epoch < first_epoch:
            continue
        there = logs.get(branch.epoch, ())
        begin = first_sequence if branch.epoch == first_epoch else 0
        through = min(branch.cut, target.lsn)
        present = set(there)
        end = there[-1] + 1 if there else begin
        found += [Step(branch.epoch, number, through, number not in present) for number in range(begin, end)]
    return found
