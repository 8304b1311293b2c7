"""Scans over all slots, in (slot, key) order, resumable, complete over moves (M11). No I/O.

A scan walks the slots in order. Each wanted slot belongs to a leg: one stream at the shard that owned the
slot when the leg was planned. A server's answer names the slots it finished ("covered"); nothing else counts
as finished, so a slot that moved away under a leg is simply still wanted and gets planned again, from the
last entry given out.

    WANTED --covered by its leg--> COVERED --its entries given out--> DONE

Legs are opened when the walk reaches them: a scan with a small limit touches only the shards it needs. Slots
are disjoint, so merging legs needs no comparison of keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aidb.attempts import Attempts, Missed, Pause
from aidb.commands import Emit, Next, Open, Operation, Stream
from aidb.errors import AidbError, InvalidArgument
from aidb.failure import Failure
from aidb.headers import address_to, read_header
from aidb.interface import Consistency, Entry
from aidb.policy import Action, Kind, Transport
from aidb.routing import Routing
from aidb.slots import SLOT_COUNT, slot_of, slot_of_prefix
from aidb.topology import Member
from aidb.unary import expiry_of, nobody_serves
from aidb.v1 import storage_pb2

_DONE, _WANTED, _COVERED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """What a scan asks for; see `KeyValue.scan`. ``timeout`` in seconds, without progress."""

    prefix: bytes
    start: bytes
    end: bytes
    after: bytes | None
    limit: int | None
    reverse: bool
    keys_only: bool
    consistency: Consistency
    timeout: float

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise InvalidArgument(f"a scan's limit is not negative, not {self.limit}")


@dataclass(slots=True)
class Leg:
    """Slots asked of one shard in one stream."""

    shard: int
    member: Member
    stream: Stream | None = None
    entries: deque[Entry] = field(default_factory=deque)
    answered: bool = False


class _Walk:
    """Progress of one scan: the state of each slot, the legs, and the last entry given out."""

    def __init__(self, routing: Routing, spec: ScanSpec) -> None:
        self._routing = routing
        self._spec = spec
        self._step = -1 if spec.reverse else 1
        self._states = bytearray([_WANTED]) * SLOT_COUNT
        self._legs: list[Leg | None] = [None] * SLOT_COUNT
        self._at = SLOT_COUNT - 1 if spec.reverse else 0
        self._cursor: storage_pb2.ScanCursor | None = None
        self._given = 0
        only = slot_of_prefix(spec.prefix)
        if only is not None:
            self._states = bytearray(SLOT_COUNT)
            self._states[only] = _WANTED
            self._at = only
        if spec.after is not None:
            slot = slot_of(spec.after)
            self._at = min(self._at, slot) if spec.reverse else max(self._at, slot)
            if self._at == slot:
                self._cursor = storage_pb2.ScanCursor(slot=slot, key=spec.after)

    @property
    def finished(self) -> bool:
        """All slots are walked, or the limit is reached."""
        return not 0 <= self._at < SLOT_COUNT or self._given == self._spec.limit

    @property
    def slot(self) -> int:
        """Where the walk is."""
        return self._at

    @property
    def leg(self) -> Leg | None:
        """Who is asked for the current slot; None = it is to be planned."""
        return self._legs[self._at]

    def take(self) -> Entry | None:
        """The next entry in order; None when the current slot needs its leg, or the walk is finished."""
        while not self.finished:
            leg = self.leg
            if leg is not None and leg.entries and slot_of(leg.entries[0].key) == self._at:
                entry = leg.entries.popleft()
                self._cursor = storage_pb2.ScanCursor(slot=self._at, key=entry.key)
                self._given += 1
                return entry
            if self._states[self._at] == _WANTED:
                return None
            self._states[self._at] = _DONE
            self._at += self._step
        return None

    def plan(self) -> bool:
        """Give every wanted slot without a leg to its owner; False when nobody serves the current slot."""
        legs: dict[tuple[int, str], Leg] = {}
        for slot in self._ahead():
            if self._states[slot] != _WANTED or self._legs[slot] is not None:
                continue
            place = self._routing.primary(slot)
            if place is None or not place.members:
                continue
            member = place.members[0]
            leg = legs.setdefault((place.shard, member.address), Leg(place.shard, member))
            self._legs[slot] = leg
        return self.leg is not None

    def request(self, leg: Leg) -> storage_pb2.ScanRequest:
        """What opens ``leg`` from where the walk is."""
        spec = self._spec
        deadline = self._routing.clock() + spec.timeout
        request = storage_pb2.ScanRequest(
            header=read_header(self._routing, spec.consistency, deadline),
            start=spec.start,
            end=spec.end,
            prefix=spec.prefix,
            limit=0 if spec.limit is None else spec.limit - self._given,
            reverse=spec.reverse,
            keys_only=spec.keys_only,
        )
        wanted = sorted(
            slot for slot in self._ahead() if self._legs[slot] is leg and self._states[slot] == _WANTED
        )
        request.slots.extend(ranges(wanted))
        if self._cursor is not None and self._cursor.slot == self._at and self._legs[self._at] is leg:
            request.resume_after.CopyFrom(self._cursor)
        address_to(request.header, self._routing, leg.shard, 0)
        return request

    def receive(self, leg: Leg, message: storage_pb2.ScanResponse) -> None:
        """Keep a message of ``leg``."""
        leg.answered = True
        self._routing.answered(leg.member, message.header)
        leg.entries.extend(
            Entry(entry.key, entry.value, entry.version, expiry_of(entry.expires_at_unix_ms))
            for entry in message.entries
        )
        for covered in message.covered:
            for slot in range(covered.first, min(covered.last + 1, SLOT_COUNT)):
                if self._legs[slot] is leg and self._states[slot] == _WANTED:
                    self._states[slot] = _COVERED

    def skipped(self, leg: Leg) -> bool:
        """The server went past the current slot without covering it: it does not own it any more."""
        wanted = self._states[self._at] == _WANTED
        return wanted and bool(leg.entries) and slot_of(leg.entries[0].key) != self._at

    def release(self, leg: Leg) -> None:
        """Give up ``leg``: its unfinished slots are to be planned again; entries of finished ones stay."""
        if leg.stream is not None:
            leg.stream.cancel()
        for slot in self._ahead():
            if self._legs[slot] is leg and self._states[slot] == _WANTED:
                self._legs[slot] = None
        leg.entries = deque(entry for entry in leg.entries if self._states[slot_of(entry.key)] == _COVERED)

    def close(self) -> None:
        """End all streams."""
        for leg in {id(leg): leg for leg in self._legs if leg is not None}.values():
            if leg.stream is not None:
                leg.stream.cancel()

    def _ahead(self) -> range:
        return range(self._at, -1 if self._spec.reverse else SLOT_COUNT, self._step)


def scan(routing: Routing, spec: ScanSpec) -> Operation[None]:
    """Emit the entries that ``spec`` asks for. A failed leg is opened anew; what was given out is never
    repeated.
    """
    walk = _Walk(routing, spec)
    attempts = Attempts(routing, routing.clock() + spec.timeout)
    try:
        while True:
            entry = walk.take()
            if entry is not None:
                yield Emit(entry)
                continue
            if walk.finished:
                return
            pause: Pause | None
            error: AidbError
            leg = walk.leg
            if leg is None:
                if walk.plan():
                    continue
                error, pause = nobody_serves(walk.slot), attempts.nobody()
            else:
                answer = yield from _advance(walk, leg, spec)
                if isinstance(answer, storage_pb2.ScanResponse):
                    walk.receive(leg, answer)
                    if not walk.skipped(leg):
                        attempts = Attempts(routing, routing.clock() + spec.timeout)
                        continue
                    answer = None
                walk.release(leg)
                if answer is None:
                    # Complete for what the shard owns, and the slot is not among it: the topology changed.
                    error, pause = nobody_serves(walk.slot), attempts.nobody()
                elif answer.cause is Transport.TIMEOUT and leg.answered:
                    continue
                else:
                    error = answer.error
                    action = attempts.judge(answer, Kind.READ, False)
                    if action in (Action.RAISE, Action.UNKNOWN):
                        routing.reported(error)
                        raise error
                    pause = attempts.next_round([Missed(leg.member, answer, action, [leg.member])])
            if pause is None:
                raise attempts.given_up(error)
            yield pause
    finally:
        walk.close()


def _advance(walk: _Walk, leg: Leg, spec: ScanSpec) -> Operation[storage_pb2.ScanResponse | Failure | None]:
    """The leg's next message, None at its end."""
    if leg.stream is None:
        leg.stream = yield Open(leg.member.address, walk.request(leg), spec.timeout, leg.shard)
    answer: Any = yield Next(leg.stream)
    return answer  # type: ignore[no-any-return]


def ranges(slots: Sequence[int]) -> Iterator[storage_pb2.SlotRange]:
    """Ascending slots as ranges."""
    first = last = -1
    for slot in slots:
        if slot != last + 1 or first < 0:
            if first >= 0:
                yield storage_pb2.SlotRange(first=first, last=last)
            first = slot
        last = slot
    if first >= 0:
        yield storage_pb2.SlotRange(first=first, last=last)
