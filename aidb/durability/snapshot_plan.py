"""What a snapshot has to upload: the SSTs that the store lacks, each once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from aidb.durability.manifest import File


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """``reused`` are there already: they have to be looked at once more when the manifest is written."""

    uploads: tuple[File, ...]
    reused: tuple[File, ...]

    @property
    def upload_bytes(self) -> int:
        return sum(file.size for file in self.uploads)


def snapshot_plan(files: Iterable[File], present: Collection[str]) -> SnapshotPlan:
    """``present``: checksums of the SSTs in the store. Large ones go first, so that none is left alone at
    the end.
    """
    distinct = {file.sha256: file for file in files}
    uploads = [file for sha256, file in distinct.items() if sha256 not in present]
    reused = [file for sha256, file in distinct.items() if sha256 in present]
    uploads.sort(key=lambda file: (-file.size, file.name))
    return SnapshotPlan(tuple(uploads), tuple(reused))
