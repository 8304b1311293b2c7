"""The engine's readers of single files. They come with the node's distribution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from aidb.errors import Unsupported

Item = dict[str, Any]
Emit = Callable[[Item], None]


class Inspector(Protocol):
    """Each ``dump`` calls ``emit`` for every item and returns a summary with ``damage``: file, offset, what.

    Raises:
        AidbError: a file cannot be read at all.
    """

    def dump_sst(self, path: Path, emit: Emit) -> Item: ...
    def dump_log(self, path: Path, emit: Emit) -> Item: ...
    def dump_manifest(self, path: Path, emit: Emit) -> Item: ...
    def repair_store(self, path: Path, apply: bool) -> Item:
        """Without ``apply`` nothing is written.

        Raises:
            OpenRefused: the store is open elsewhere, is none, or was written by a newer version.
        """


def inspector() -> Inspector:
    """The installed one.

    Raises:
        Unsupported: none is.
    """
    from importlib.metadata import entry_points

    for found in entry_points(group="aidb.inspector"):
        return cast(Inspector, found.load())
    raise Unsupported("the engine is not installed: pip install aidb-node")
