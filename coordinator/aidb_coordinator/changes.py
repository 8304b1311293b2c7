"""What changed from one version of the topology to the next, in words, and who changed it: a bounded list
that outlives the coordinator.

Slot epochs and LSNs are left out, they follow from the moves beside them; the document itself has them, and
the object store, where there is one, has every version of it whole (`archive`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from aidb_coordinator.lines import Lines
from aidb_coordinator.slot_epochs import spans_of
from aidb_coordinator.topology import NOBODY, Member, Move, Shard, Topology, unpack_owners

CAPACITY = 4_096
# Of one version: a thousand replicas that register at once are told in part.
MOST_TOLD = 50
_SPANS_TOLD = 4


@dataclass(frozen=True, slots=True)
class Change:
    """`version` is what it became. `by` says on whose behalf; `unix_ms` is the wall clock."""

    version: int
    unix_ms: int
    term: int
    by: str
    what: tuple[str, ...]


class ChangeLog:
    """The newest `capacity` changes."""

    def __init__(
        self,
        path: Path,
        wall_ms: Callable[[], int],
        capacity: int = CAPACITY,
        added: Callable[[], None] = lambda: None,
    ) -> None:
        self._wall_ms = wall_ms
        self._lines = Lines(path, capacity, encode=asdict, decode=_decode, added=added)
        self.unwritten = self._lines.unwritten
        self.write = self._lines.write

    def begin(self, topology: Topology) -> None:
        """A coordinator starts with `topology`: what was changed meanwhile is said to be unknown."""
        known = self._lines.items[-1].version if self._lines.items else 0
        if topology.version == known:
            return
        what = "first seen" if not known else f"changed from version {known} on while no coordinator ran"
        self._add(topology, "unknown", (what,))

    def changed(self, before: Topology, after: Topology, by: Iterable[str]) -> None:
        if after.version == before.version:
            return
        told = list(islice(differences(before, after), MOST_TOLD + 1))
        if len(told) > MOST_TOLD:
            told[MOST_TOLD:] = ["and more"]
        self._add(after, ", ".join(dict.fromkeys(by)), tuple(told))

    def after(self, version: int, limit: int) -> list[Change]:
        """The last `limit` of those that made a higher version, oldest first."""
        later = [change for change in self._lines.items if change.version > version]
        return later[-limit:]

    def _add(self, topology: Topology, by: str, what: tuple[str, ...]) -> None:
        self._lines.add(Change(topology.version, self._wall_ms(), topology.term, by, what))


def differences(before: Topology, after: Topology) -> Iterator[str]:
    """In words, for people."""
    yield from _slots(before, after)
    yield from _moves(before, after)
    shards = {shard.id: shard for shard in before.shards}
    for shard in after.shards:
        known = shards.pop(shard.id, None)
        if known is None:
            yield f"shard {shard.id} is new"
        elif known is not shard:
            yield from _shard(known, shard)
    yield from (f"shard {gone} is gone" for gone in shards)
    yield from _members(before.routers, after.routers, "")
    if after.durability is not before.durability:
        yield f"durability {before.durability.name.lower()} -> {after.durability.name.lower()}"
    if after.feature_level != before.feature_level:
        yield f"feature level {before.feature_level} -> {after.feature_level}"


def _slots(before: Topology, after: Topology) -> Iterator[str]:
    if before.slot_owners == after.slot_owners:
        return
    pairs: dict[tuple[int, int], list[int]] = {}
    owners = zip(unpack_owners(before.slot_owners), unpack_owners(after.slot_owners), strict=True)
    for slot, (old, new) in enumerate(owners):
        if old != new:
            pairs.setdefault((old, new), []).append(slot)
    for (old, new), slots in sorted(pairs.items()):
        yield f"{_of_slots(slots)} from {_owner(old)} to {_owner(new)}"


def _of_slots(slots: list[int]) -> str:
    spans = spans_of(slots)
    told = [
        f"{span.first}" if span.first == span.last else f"{span.first}-{span.last}"
        for span in spans[:_SPANS_TOLD]
    ]
    more = ",..." if len(spans) > _SPANS_TOLD else ""
    return f"{len(slots)} slot{'' if len(slots) == 1 else 's'} ({','.join(told)}{more})"


def _owner(shard: int) -> str:
    return "nobody" if shard == NOBODY else f"shard {shard}"


def _moves(before: Topology, after: Topology) -> Iterator[str]:
    known = {move.id: move for move in before.moves}
    for move in after.moves:
        old = known.get(move.id)
        if old is None:
            count = sum(span.last - span.first + 1 for span in move.slots)
            yield f"move {move.id} is wanted: {count} slots from shard {move.source} to {move.target}"
        elif (old.step, old.attempt) != (move.step, move.attempt):
            yield f"move {move.id} is {move.step}{_attempt(old, move)}"


def _attempt(old: Move, move: Move) -> str:
    return "" if old.attempt == move.attempt else f", attempt {move.attempt}: {move.reason}"


def _shard(old: Shard, new: Shard) -> Iterator[str]:
    name = f"shard {new.id}"
    if new.epoch != old.epoch:
        holder = "nobody" if new.primary is None else f"{new.primary.name} at {new.primary.address}"
        yield f"epoch {new.epoch} of {name}: {holder}"
    elif new.primary != old.primary and new.primary is not None:
        yield f"{new.primary.name} is at {new.primary.address}"
    if new.recovery is not None and new.recovery != old.recovery:
        yield f"{name} is to be restored ({new.recovery.id}) from the objects of {new.recovery.cluster_uid}"
    if new.fenced != old.fenced:
        yield f"{name} is {'fenced' if new.fenced else 'fenced no more'}"
    if new.incarnation != old.incarnation:
        yield f"{name} is at incarnation {new.incarnation}"
    yield from _successor(name, old, new)
    yield from _members(old.replicas, new.replicas, f" of {name}")
    if new.tail_set != old.tail_set:
        yield f"tail set of {name}: {', '.join(new.tail_set) or 'nobody'}"


def _successor(name: str, old: Shard, new: Shard) -> Iterator[str]:
    was, now = old.successor, new.successor
    if now is None:
        if was is not None and new.epoch == old.epoch:
            yield f"{name} needs no successor any more"
    elif was is None or was.incarnation != now.incarnation:
        kind = "hand-over" if now.planned else "takeover"
        yield f"incarnation {now.incarnation} of {name} is wanted, a {kind}: {now.reason}"
    elif was.epoch != now.epoch:
        yield f"incarnation {now.incarnation} of {name} has taken epoch {now.epoch}"


def _members(old: tuple[Member, ...], new: tuple[Member, ...], of: str) -> Iterator[str]:
    if old is new:
        return
    known = {member.name: member for member in old}
    for member in new:
        was = known.pop(member.name, None)
        if was is None:
            yield f"{member.name}{of} is new, at {member.address}"
        elif was.address != member.address:
            yield f"{member.name}{of} is at {member.address}"
        elif was != member:
            yield f"{member.name}{of} told other facts of itself"
    yield from (f"{name}{of} is gone" for name in known)


def _decode(value: dict[str, Any]) -> Change:
    found = Change(
        int(value["version"]),
        int(value["unix_ms"]),
        int(value["term"]),
        str(value["by"]),
        tuple(map(str, value["what"])),
    )
    if isinstance(value["what"], str):
        raise TypeError("what is a list")
    return found
