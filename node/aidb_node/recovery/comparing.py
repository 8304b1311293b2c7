"""Compares two stores entry by entry: keys, values, versions and expiries, in the order of the keys.

Both hide what has expired by their own clocks, and one is read a moment after the other: what only one of
them shows and has expired by now is no difference.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from aidb.interface import Entry
from aidb_node._native import Store

_CACHE_BYTES = 16 << 20
_MEMTABLE_BYTES = 1 << 20
# Entries between two looks at whether to go on.
_LOOK_EACH = 4096
_SHOWN = 20
_HEAD = struct.Struct("<IIQd")


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a physical key."""

    key: bytes
    what: str


@dataclass(slots=True)
class Compared:
    """``entries`` and ``bytes`` (of keys and values) that both have. ``sha256`` is over these, in order.
    ``differing`` counts all differences, ``differences`` has the first ones.
    """

    entries: int = 0
    bytes: int = 0
    expired: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)
    sha256: str = ""


def compare(source: Path, copy: Path, seen: Callable[[Compared], None] = lambda _: None) -> Compared:
    """Directories of stores that nobody has open. ``seen`` may raise to end it. Raises AidbError."""
    found = Compared()
    digest = hashlib.sha256()
    with ExitStack() as stack:
        here, there = (_entries(stack, path) for path in (source, copy))
        left, right = next(here, None), next(there, None)
        steps = 0
        while left is not None or right is not None:
            steps += 1
            if steps % _LOOK_EACH == 0:
                seen(found)
            if right is None or (left is not None and left.key < right.key):
                assert left is not None
                _only(found, left, "is not in the restored copy")
                left = next(here, None)
            elif left is None or right.key < left.key:
                _only(found, right, "is only in the restored copy")
                right = next(there, None)
            else:
                _both(found, digest.update, left, right)
                left, right = next(here, None), next(there, None)
    found.sha256 = digest.hexdigest()
    seen(found)
    return found


def _entries(stack: ExitStack, path: Path) -> Iterator[Entry]:
    store = Store(
        str(path),
        create=False,
        sync="none",
        cache_bytes=_CACHE_BYTES,
        memtable_bytes=_MEMTABLE_BYTES,
        compression="none",
    )
    stack.callback(store.close)
    return stack.enter_context(store.scan(b"", b"", None, False, False, None))


def _only(found: Compared, entry: Entry, what: str) -> None:
    if entry.expires_at is not None and entry.expires_at <= time.time():
        found.expired += 1
    else:
        _differs(found, entry, f"(version {entry.version}) {what}")


def _both(found: Compared, update: Callable[[bytes], None], left: Entry, right: Entry) -> None:
    if left != right:
        if left.version != right.version:
            what = f"has version {left.version}, in the restored copy {right.version}"
        else:
            what = f"(version {left.version}) has another value or expiry in the restored copy"
        _differs(found, left, what)
        return
    found.entries += 1
    found.bytes += len(left.key) + len(left.value)
    update(_HEAD.pack(len(left.key), len(left.value), left.version, left.expires_at or 0.0))
    update(left.key)
    update(left.value)


def _differs(found: Compared, entry: Entry, what: str) -> None:
    found.differing += 1
    if len(found.differences) < _SHOWN:
        found.differences.append(Difference(entry.key, what))
