"""Which shards, and which incarnations of their primaries, are to run: what the coordinator's document says.

The document is read as it lies in the coordinator's directory, which is on this machine: it is there before
the coordinator answers, and whether or not it does. Nothing else is recorded, so nothing can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aidb import topology_file
from aidb.local.layout import Layout

TOPOLOGY = "topology.json"


@dataclass(frozen=True, slots=True)
class Incarnations:
    """Of one shard: the published one, and the one that is wanted beside it (0 = none)."""

    published: int = 1
    wanted: int = 0

    @property
    def running(self) -> tuple[int, ...]:
        """Those that are to run."""
        return (self.published, self.wanted) if self.wanted else (self.published,)


class Watch:
    """Reads the document again when it was replaced."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.directory("coordinator") / TOPOLOGY
        self._seen: tuple[int, int] | None = None
        self._found: Mapping[int, Incarnations] = {}

    def look(self) -> Mapping[int, Incarnations]:
        """By shard; empty before there is a document. One that cannot be read changes nothing: the
        coordinator is who says what is wrong with it.
        """
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if seen != self._seen:
                self._found, self._seen = parse(self._path.read_bytes()), seen
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        return self._found


def incarnations(layout: Layout) -> Mapping[int, Incarnations]:
    """As the document says now."""
    return Watch(layout).look()


def parse(content: bytes) -> Mapping[int, Incarnations]:
    """Raises ValueError, KeyError, TypeError, AttributeError for what is no topology."""
    body, _ = topology_file.unseal(content)
    if not isinstance(body, dict):
        # A shard's `successor` is empty where none is wanted.
        return {
            shard.id: Incarnations(shard.incarnation or 1, shard.successor.incarnation)
            for shard in body.shards
        }
    shards: list[dict[str, Any]] = body["shards"]
    return {int(shard.get("id", 0)): _of(shard) for shard in shards}


def _of(shard: Mapping[str, Any]) -> Incarnations:
    successor = shard.get("successor", {})
    return Incarnations(int(shard.get("incarnation", 1)), int(successor.get("incarnation", 0)))


def primary_name(shard: int, incarnation: int) -> str:
    """Of the program, and of the member."""
    name = f"shard-{shard}-primary"
    return name if incarnation == 1 else f"{name}-{incarnation}"


def directory_of(layout: Layout, shard: int, incarnation: int) -> Path:
    """Of a primary's data: each incarnation has its own, and none is ever given to another."""
    path = layout.directory(f"shard-{shard}-primary")
    return path if incarnation == 1 else path.with_name(f"{path.name}.{incarnation}")


def primary_directory(layout: Layout, shard: int) -> Path:
    """Of the incarnation that is published."""
    return directory_of(layout, shard, incarnations(layout).get(shard, Incarnations()).published)
