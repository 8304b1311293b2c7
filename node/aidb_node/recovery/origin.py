"""Where in the archive a restored store comes from: `restored.json` in the data directory.

    {"format": 1, "store": inode, "before": 3, "epoch": 1, "lsn": 55}

The store ends at ``lsn`` of ``epoch``'s log, however much of that log, and of later epochs' up to ``before``,
there is. The first epoch that archives anything after the restore says so in its first piece, so that what
was given up is in no later restore. By the store alone that cannot be found out: its log begins with the
record of an epoch that the archive knows as another one.

It is written before the store has its place, and holds for the directory of the store that it names by its
inode: a crash in between changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from aidb.durability.catalog import Catalog
from aidb.local.layout import write_atomically
from aidb_node.identity import STORE

FILE = "restored.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """See the module."""

    before: int
    epoch: int
    lsn: int


def origin_of(catalog: Catalog, newest: int, lsn: int) -> Origin:
    """Of what was restored to ``lsn`` by the lineage of the ``newest`` epoch. Raises ObjectError."""
    found = newest
    for branch in catalog.branches(newest):
        found = branch.epoch
        start = catalog.start(branch.epoch)
        if start is not None and start.cut < lsn:
            break
    return Origin(newest, found, lsn)


def write(directory: Path, store: Path, origin: Origin) -> None:
    """For the store in ``store``, which is about to have its place in ``directory``. Raises OSError."""
    content = {
        "format": _FORMAT,
        "store": store.stat().st_ino,
        "before": origin.before,
        "epoch": origin.epoch,
        "lsn": origin.lsn,
    }
    write_atomically(directory / FILE, json.dumps(content).encode(), durable=True)


def read(directory: Path) -> Origin | None:
    """Of the store in ``directory``; None when it was not restored. Raises OSError, ValueError: damaged."""
    try:
        content = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(content)
        if fields["store"] != (directory / STORE).stat().st_ino:
            return None
        return Origin(int(fields["before"]), int(fields["epoch"]), int(fields["lsn"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{directory / FILE} is damaged: {error}") from error
