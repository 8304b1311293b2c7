"""Which shards and replicas a local cluster is to have: as it was made, until the coordinator says otherwise.

The coordinator's files say so, its topology of shards and `replicas.json` of replicas; they are read as they
lie in its directory, see `incarnations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aidb.local import replicas
from aidb.local.description import Description
from aidb.local.incarnations import Incarnations
from aidb.local.incarnations import Watch as IncarnationsWatch
from aidb.local.layout import Layout
from aidb.local.replicas import name_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """By shard, ascending; both have the same shards. `replicas`: their numbers."""

    incarnations: Mapping[int, Incarnations]
    replicas: Mapping[int, tuple[int, ...]]

    @property
    def names(self) -> list[str]:
        """Of the programs, in start order; a primary's name is that of its first incarnation."""
        return [
            "coordinator",
            "router-0",
            *(f"shard-{shard}-primary" for shard in self.incarnations),
            *(name_of(shard, number) for shard, numbers in self.replicas.items() for number in numbers),
        ]


class Watch:
    """Reads the files again when they were replaced."""

    def __init__(self, layout: Layout, description: Description) -> None:
        self._description = description
        self._incarnations = IncarnationsWatch(layout)
        self._path = layout.directory("coordinator") / replicas.FILE
        self._seen: tuple[int, int] | None = None
        self._replicas: Mapping[int, tuple[int, ...]] = {}

    def look(self) -> Wanted:
        return wanted(self._description, self._incarnations.look(), self._look_at_replicas())

    def _look_at_replicas(self) -> Mapping[int, tuple[int, ...]]:
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if seen != self._seen:
                self._replicas, self._seen = replicas.read(self._path), seen
        except (OSError, ValueError):
            pass  # the coordinator refuses to start with it, and says why
        return self._replicas


def wanted(
    description: Description,
    incarnations: Mapping[int, Incarnations],
    numbers: Mapping[int, tuple[int, ...]],
) -> Wanted:
    """`incarnations` is empty before there is a topology."""
    known = incarnations or dict.fromkeys(range(description.shards), Incarnations())
    usual = tuple(range(description.replicas))
    return Wanted(
        {shard: known[shard] for shard in sorted(known)},
        {shard: numbers.get(shard, usual) for shard in sorted(known)},
    )


def of(layout: Layout, description: Description) -> Wanted:
    """As the files say now."""
    return Watch(layout, description).look()
