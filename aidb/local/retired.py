"""Directories of incarnations that are over, and of shards that are gone.

One that was handed over in order is in the object store as a whole, and goes; so does one that never served,
of a takeover, or a shard, that was given up. Any other may hold what nobody else has: it stays, whatever it
costs (D6), and `aidb-admin salvage` looks into it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aidb.local.incarnations import Incarnations, primary_name
from aidb.local.layout import Layout

_NAME = re.compile(r"shard-(\d+)(?:\.(\d+))?")
_IDENTITY = "identity.json"
_STORE = "store"


@dataclass(frozen=True, slots=True)
class Retired:
    """``disposable``: nothing of it is missing elsewhere."""

    shard: int
    incarnation: int
    directory: Path
    disposable: bool


def retired(layout: Layout, wanted: Mapping[int, Incarnations]) -> Iterator[Retired]:
    """Those that are not to run."""
    for directory in sorted(layout.root.glob("shard-*")):
        matched = _NAME.fullmatch(directory.name)
        if matched is None:
            continue
        shard, incarnation = int(matched[1]), int(matched[2] or 1)
        if shard not in wanted or incarnation not in wanted[shard].running:
            yield Retired(shard, incarnation, directory, _is_disposable(directory))


def remove(layout: Layout, wanted: Mapping[int, Incarnations], running: Container[str]) -> list[Path]:
    """Removes what is disposable, but of the programs that still run; what was removed."""
    removed = []
    for one in retired(layout, wanted):
        if one.disposable and primary_name(one.shard, one.incarnation) not in running:
            shutil.rmtree(one.directory, ignore_errors=True)
            removed.append(one.directory)
    return removed


def _is_disposable(directory: Path) -> bool:
    try:
        fields = json.loads((directory / _IDENTITY).read_bytes())
        return bool(fields.get("handed_over")) or not (directory / _STORE).exists()
    except (OSError, ValueError, AttributeError):
        return False
