"""Which slots are meant: ranges as people write them, and the last of a shard's. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aidb.slots import SLOT_COUNT

_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_NOBODY = 0xFFFF

# Inclusive on both ends.
Span = tuple[int, int]


def parse(text: str) -> list[Span]:
    """``0-99,200``. Raises ValueError."""
    spans = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        first, last = (0, -1) if found is None else (int(found[1]), int(found[2] or found[1]))
        if not first <= last < SLOT_COUNT:
            raise ValueError(f"{part.strip()!r} is no range of slots: give 7 or 0-99, below {SLOT_COUNT}")
        spans.append((first, last))
    return spans


def spans_of(slots: Iterable[int]) -> list[Span]:
    """The fewest spans that have exactly these slots."""
    spans: list[Span] = []
    for slot in sorted(set(slots)):
        if spans and spans[-1][1] == slot - 1:
            spans[-1] = spans[-1][0], slot
        else:
            spans.append((slot, slot))
    return spans


def text_of(spans: Iterable[Span]) -> str:
    """As `parse` takes it."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def owners_of(packed: bytes) -> list[int | None]:
    """The shard of each slot in a topology's table."""
    found = (int.from_bytes(packed[at : at + 2], "big") for at in range(0, len(packed), 2))
    return [None if owner == _NOBODY else owner for owner in found]


def by_source(owners: Sequence[int | None], spans: Iterable[Span], target: int) -> dict[int, list[Span]]:
    """What has to leave which shard. Raises ValueError when there is nothing to do."""
    wanted: dict[int, list[int]] = {}
    for slot in (slot for first, last in spans for slot in range(first, last + 1)):
        owner = owners[slot]
        if owner is not None and owner != target:
            wanted.setdefault(owner, []).append(slot)
    if not wanted:
        raise ValueError(f"shard {target} has all of these slots already")
    return {source: spans_of(slots) for source, slots in sorted(wanted.items())}


def last_of(owners: Sequence[int | None], shard: int, count: int) -> list[Span]:
    """The last `count` slots of a shard. Raises ValueError when it has no more than that."""
    mine = [slot for slot, owner in enumerate(owners) if owner == shard]
    if count >= len(mine):
        raise ValueError(f"shard {shard} has {len(mine)} slots: fewer can be moved, so that it keeps one")
    return spans_of(mine[-count:])
