"""Reads everything that a restore may need, and says what is wrong with it: every SST of every snapshot,
and the log from the oldest snapshot on, piece by piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aidb.durability.catalog import Catalog
from aidb.durability.lineage import Branch
from aidb.durability.manifest import File, Manifest
from aidb.durability.names import last_number
from aidb.durability.piece import Piece, Seal
from aidb.durability.restore_plan import Step, Target, steps
from aidb.objects.errors import Damaged, NoSuchKey

_CHUNK = 8 << 20
# Pieces that are read ahead at a time.
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """``object`` is a key."""

    object: str
    what: str


@dataclass(slots=True)
class Verified:
    """``chain_from`` .. ``chain_to``: the LSNs between which the log is whole."""

    snapshots: int = 0
    tables: int = 0
    table_bytes: int = 0
    pieces: int = 0
    records: int = 0
    log_bytes: int = 0
    chain_from: int | None = None
    chain_to: int | None = None
    problems: list[Problem] = field(default_factory=list)


Seen = Callable[[Verified], None]


def verify(catalog: Catalog, at_once: int = 8, seen: Seen = lambda _: None) -> Verified:
    """Raises ObjectError when the store is away: damage is told in what is returned."""
    found = Verified()
    newest = catalog.newest_claim()
    manifests = _manifests(catalog, newest, found)
    with ThreadPoolExecutor(at_once, thread_name_prefix="verify") as pool:
        _tables(catalog, pool, manifests, found, seen)
        branches = catalog.branches(newest)
        begun = [manifest for manifest in manifests if manifest.log is not None]
        if begun:
            oldest = min(begun, key=lambda manifest: manifest.log or (0, 0))
            todo = steps_after(catalog, oldest.log, branches, Target())
            _chain(catalog, pool, todo, oldest.lsn, found, seen)
    return found


def steps_after(
    catalog: Catalog, position: tuple[int, int] | None, branches: Sequence[Branch], target: Target
) -> list[Step]:
    """The pieces from ``position`` (epoch, sequence) of a snapshot on, as they are listed now. None: where
    nothing is archived there are none.

    Raises ObjectError.
    """
    if position is None:
        return []
    first, sequence = position
    logs = {}
    for branch in branches:
        if branch.epoch >= first:
            after = sequence - 1 if branch.epoch == first and sequence > 0 else None
            logs[branch.epoch] = [last_number(stat.key) or 0 for stat in catalog.log(branch.epoch, after)]
    return steps(position, branches, logs, target)


def _manifests(catalog: Catalog, newest: int, found: Verified) -> list[Manifest]:
    manifests = []
    for epoch in catalog.claimed():
        for stat in catalog.manifests(epoch) if epoch <= newest else ():
            try:
                manifests.append(catalog.manifest(epoch, last_number(stat.key) or 0))
            except (Damaged, NoSuchKey) as error:
                found.problems.append(Problem(stat.key, str(error)))
    found.snapshots = len(manifests)
    return manifests


def _tables(
    catalog: Catalog, pool: ThreadPoolExecutor, manifests: Sequence[Manifest], found: Verified, seen: Seen
) -> None:
    files = {file.sha256: file for manifest in manifests for file in manifest.files}
    for file, problem in pool.map(lambda file: (file, _table(catalog, file)), files.values()):
        found.tables += 1
        found.table_bytes += file.size
        if problem:
            needed = [m.label for m in manifests if any(one.sha256 == file.sha256 for one in m.files)]
            what = f"{problem}; needed by {', '.join(needed)}"
            found.problems.append(Problem(catalog.names.table(file.sha256), what))
        seen(found)


def _table(catalog: Catalog, file: File) -> str:
    key, size, digest = catalog.names.table(file.sha256), 0, hashlib.sha256()
    try:
        while chunk := catalog.store.get(key, size, _CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if len(chunk) < _CHUNK:
                break
    except NoSuchKey:
        return "it is missing"
    if size != file.size:
        return f"it has {size} bytes, not {file.size}"
    return "" if digest.hexdigest() == file.sha256 else "its content is not what its name says"


def _chain(
    catalog: Catalog,
    pool: ThreadPoolExecutor,
    todo: Sequence[Step],
    lsn: int,
    found: Verified,
    seen: Seen,
) -> None:
    found.chain_from = found.chain_to = lsn
    whole = True
    for step, piece in _read(catalog, pool, todo):
        key = catalog.names.log(step.epoch, step.sequence)
        if isinstance(piece, str):
            found.problems.append(Problem(key, piece))
            whole = False
            continue
        # What an epoch's log has beyond its cut is not part of history.
        if isinstance(piece, Seal) or piece.last_lsn <= lsn or lsn >= step.through:
            continue
        if piece.previous_lsn > lsn:
            if whole:
                what = f"the log from lsn {lsn} to {piece.previous_lsn} is missing before it"
                found.problems.append(Problem(key, what))
            whole = False
        lsn = min(piece.last_lsn, step.through)
        if whole:
            found.chain_to = lsn
        found.pieces += 1
        found.records += piece.records
        found.log_bytes += len(piece.body)
        seen(found)


def _read(
    catalog: Catalog, pool: ThreadPoolExecutor, todo: Sequence[Step]
) -> Iterator[tuple[Step, Piece | Seal | str]]:
    def read(step: Step) -> Piece | Seal | str:
        try:
            return catalog.piece(step.epoch, step.sequence)
        except NoSuchKey:
            return "it is missing"
        except Damaged as error:
            return str(error)

    for begin in range(0, len(todo), _BATCH):
        batch = todo[begin : begin + _BATCH]
        yield from zip(batch, pool.map(read, batch), strict=True)
