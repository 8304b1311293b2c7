"""The epochs of slots, one by one and as the document has them: spans of equal state. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from aidb.slots import SLOT_COUNT
from aidb_coordinator.topology import SlotEpoch, SlotSpan, Topology

# Epoch of a slot, and the LSN that its owner's answers start from.
State = tuple[int, int]


def by_slot(topology: Topology) -> list[State]:
    """Of every slot, in order."""
    found = [(0, 0)] * SLOT_COUNT
    for one in topology.slot_epochs:
        for slot in slots_of(one.span):
            found[slot] = one.epoch, one.since_lsn
    return found


def packed(states: Sequence[State]) -> Iterator[SlotEpoch]:
    """`states[i]` is slot i's."""
    first = 0
    for state, run in groupby(states):
        last = first + sum(1 for _ in run) - 1
        if state != (0, 0):
            yield SlotEpoch(SlotSpan(first, last), *state)
        first = last + 1


def gone_back(known: Topology, then: Topology) -> Iterator[SlotEpoch]:
    """Of a cluster that goes back to ``then``: slots that change hands by that get a newer epoch (M6)."""
    before, since = by_slot(known), by_slot(then)
    states = []
    for slot in range(SLOT_COUNT):
        moved = known.owner(slot) != then.owner(slot)
        epoch = max(before[slot][0], since[slot][0]) + moved
        states.append((epoch, since[slot][1]))
    return packed(states)


def slots_of(span: SlotSpan) -> range:
    return range(span.first, span.last + 1)


def spans_of(slots: Iterable[int]) -> tuple[SlotSpan, ...]:
    """The fewest spans that have exactly these slots."""
    spans: list[SlotSpan] = []
    for slot in sorted(set(slots)):
        if spans and spans[-1].last == slot - 1:
            spans[-1] = SlotSpan(spans[-1].first, slot)
        else:
            spans.append(SlotSpan(slot, slot))
    return tuple(spans)
