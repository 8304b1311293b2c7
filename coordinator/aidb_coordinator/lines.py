"""A bounded log in a file, one JSON object a line, for people.

It is not synced: a crash of the machine may lose the last lines, and a line that a crash cut short is
skipped. `add` only queues, so that no decision waits for a disk; somebody takes what is `unwritten` and calls
`write`, from one thread at a time.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

log = logging.getLogger("aidb.coordinator")

Item = TypeVar("Item")


class Lines(Generic[Item]):
    """The newest `capacity` items."""

    def __init__(
        self,
        path: Path,
        capacity: int,
        *,
        encode: Callable[[Item], dict[str, Any]],
        decode: Callable[[dict[str, Any]], Item],
        added: Callable[[], None] = lambda: None,
    ) -> None:
        """`decode` raises ValueError, TypeError or KeyError for what is none. `added` is called after each
        `add`: there is something to write.
        """
        self._path = path
        self._capacity = capacity
        self._encode = encode
        self._decode = decode
        self._added = added
        self.items: deque[Item] = deque(self._read(), maxlen=capacity)
        self._unwritten: deque[Item] = deque(maxlen=capacity)
        self._lines = len(self.items)

    def add(self, item: Item) -> None:
        self.items.append(item)
        self._unwritten.append(item)
        self._added()

    def unwritten(self) -> list[Item]:
        """Takes the items that `write` has not been given yet."""
        batch = list(self._unwritten)
        self._unwritten.clear()
        return batch

    def write(self, batch: list[Item]) -> None:
        """Appends to the file; when it has twice the capacity, keeps the newest half. Raises OSError."""
        # A crash may have left half a line: a line of its own for each batch keeps the damage to that one.
        with self._path.open("a") as file:
            file.write("" if _ends_whole(self._path) else "\n")
            file.writelines(map(self._line, batch))
        self._lines += len(batch)
        if self._lines > 2 * self._capacity:
            kept = self._read()[-self._capacity :]
            new = self._path.with_suffix(".new")
            new.write_text("".join(map(self._line, kept)))
            new.replace(self._path)
            self._lines = len(kept)

    def _line(self, item: Item) -> str:
        return json.dumps(self._encode(item), separators=(",", ":")) + "\n"

    def _read(self) -> list[Item]:
        try:
            lines = self._path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        items = []
        for line in lines:
            try:
                items.append(self._decode(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                log.warning("skipped a damaged line of %s", self._path)
        return items


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
