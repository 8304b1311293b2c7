"""What a disk that was kept aside has beyond the cut of the epoch that superseded it, and what becomes of it
(D6).

The last operation on each key counts. Against the cluster of today versions decide (V1): what the cluster
has from after the cut is newer, whatever it says; what it has from before the cut is what the lost write
replaced. A key that the cluster does not have was new then, or was deleted since: nobody can tell the two
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aidb.interface import Condition
from aidb.physical import split
from aidb.v1 import cluster_pb2 as pb


class Action(StrEnum):
    """``there``: the very same version is in the cluster. ``gone``: it expired, or deletes what is not
    there.
    """

    PUT = "put"
    DELETE = "delete"
    NEWER = "newer"
    THERE = "there"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Item:
    """The last operation on a key; ``value`` None: a delete. ``expires_at_ms`` 0 = never."""

    keyspace: int
    key: bytes
    version: int
    value: bytes | None
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """``found``: the version in the cluster, None where it has no such key. ``condition``: under which the
    action is still right when it is carried out.
    """

    item: Item
    action: Action
    found: int | None
    condition: Condition | None = None


@dataclass(slots=True)
class Tail:
    """The log of a disk beyond where it left history: a record does when it lies beyond the cut of its epoch,
    which ``cut_of`` gives, and everything after it does. ``cut``: the LSN before the first of these; the
    lowest cut that was asked for while there is none. ``missing``: (after, from) of log that is not on the
    disk any more; ``others``: operations of other kinds, which are not salvaged.
    """

    cut_of: Callable[[int], int | None]
    cut: int = (1 << 64) - 1
    last_lsn: int = 0
    records: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    others: int = 0
    _items: dict[bytes, Item] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """In the order of slots and keys."""
        return [self._items[key] for key in sorted(self._items)]

    def add(self, record: dict[str, Any]) -> None:
        """A record as `dump_log` tells it; records come in order of their LSNs, some of them twice."""
        lsn = record["lsn"]
        if not self.records:
            cut = self.cut_of(record["epoch"])
            if cut is not None:
                self.cut = min(self.cut, cut)
        before = max(self.last_lsn, self.cut)
        if lsn <= before:
            return
        if record["previous_lsn"] > before:
            self.missing.append((before, record["previous_lsn"]))
        self.last_lsn = lsn
        self.records += 1
        for operation in record["ops"]:
            self._apply(operation)

    def _apply(self, operation: dict[str, Any]) -> None:
        kind = operation["kind"]
        if kind not in ("put", "delete"):
            self.others += kind != "epoch"
            return
        physical = bytes(operation["key"])
        try:
            _, keyspace, key = split(physical)
        except ValueError:
            self.others += 1
            return
        value = bytes(operation["value"]) if kind == "put" else None
        expires = operation.get("expires_at_ms", 0)
        self._items[physical] = Item(keyspace, key, operation["version"], value, expires)


def cut_of(shard: pb.Shard, epoch: int) -> int | None:
    """Up to where the log of ``epoch`` is part of the shard's history; None while nothing has superseded it.
    A later cut that is lower was made by a restore to an earlier point.
    """
    return min((cut.lsn for cut in shard.cuts if cut.epoch >= epoch), default=None)


def decide(item: Item, found: int | None, cut: int, now_ms: int) -> Decision:
    """``found``: the version of the key in the cluster."""
    if found is not None and found == item.version:
        return Decision(item, Action.THERE, found)
    if found is not None and found > cut:
        return Decision(item, Action.NEWER, found)
    if item.value is None:
        if found is None:
            return Decision(item, Action.GONE, found)
        return Decision(item, Action.DELETE, found, Condition(if_version=found))
    if 0 < item.expires_at_ms <= now_ms:
        return Decision(item, Action.GONE, found)
    condition = Condition(if_absent=True) if found is None else Condition(if_version=found)
    return Decision(item, Action.PUT, found, condition)


def counts(decisions: Iterable[Decision]) -> dict[str, int]:
    """How many of each action, all named."""
    found = dict.fromkeys((action.value for action in Action), 0)
    for decision in decisions:
        found[decision.action.value] += 1
    return found
