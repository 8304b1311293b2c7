"""Batches of independent items: split by shard and size, sent side by side, only what failed is sent again.

Rounds, not one retry loop for each part: what failed in a round is split anew by what was learned in it, so
that items of a slot that moved, or of a replica that died, find their new places without a part knowing of
the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aidb.attempts import Attempts, Missed, Pause, unknown_outcome
from aidb.commands import Call, CallAll, Operation
from aidb.errors import AidbError, ErrorCode, Internal
from aidb.failure import Failure, failure_of_message
from aidb.headers import address_to, read_header, write_header
from aidb.interface import BatchResult, Consistency, Durability, Entry, Write
from aidb.policy import Action, Kind, Transport
from aidb.routing import Place, Routing
from aidb.slots import slot_of
from aidb.topology import Member
from aidb.unary import check_key, entry_of, kind_of, nobody_serves, write_op
from aidb.v1 import storage_pb2


@dataclass(slots=True)
class Part:
    """Items that go to one member in one call. ``resent``: an earlier send of each may have been done."""

    place: Place
    member: Member
    resent: bool
    items: list[int] = field(default_factory=list)
    bytes: int = 0


class Rounds(ABC):
    """Items by index, asked round after round until each has an answer or a final error."""

    method: str

    def __init__(self, routing: Routing, slots: Sequence[int], deadline: float) -> None:
        self._routing = routing
        self._slots = slots
        self._deadline = deadline
        self._items_limit = routing.pool.batch_items
        self._resends: dict[int, int] = {}
        self._last_error: dict[int, AidbError] = {}
        self.errors: dict[int, AidbError] = {}

    @abstractmethod
    def kind(self, item: int) -> Kind:
        """What the item may do twice."""

    @abstractmethod
    def place(self, item: int) -> Place | None:
        """Where the item goes."""

    @abstractmethod
    def size(self, item: int) -> int:
        """Bytes it adds to a request."""

    @abstractmethod
    def request(self, part: Part) -> Any:
        """The request for a part, with its header."""

    @abstractmethod
    def accept(self, item: int, result: Any) -> None:
        """Keep the item's answer."""

    def run(self, items: Iterable[int]) -> Operation[None]:
        """Ask for ``items``; afterwards each is accepted or in `errors`."""
        attempts = Attempts(self._routing, self._deadline)
        pending = list(items)
        while pending:
            parts, pending = self._split(pending, attempts)
            pauses: list[Pause | None] = [attempts.nobody()] if pending else []
            answers = yield CallAll([self._call(part, attempts) for part in parts])
            missed: list[Missed] = []
            for part, answer in zip(parts, answers, strict=True):
                pending += self._settle(part, answer, attempts, missed)
            if missed:
                pauses.append(attempts.next_round(missed))
            if None in pauses:
                for item in pending:
                    last = self._last_error.get(item) or nobody_serves(self._slots[item])
                    self._fail(item, attempts.given_up(last))
                return
            if pending and pauses:
                yield max((pause for pause in pauses if pause), key=lambda pause: pause.seconds)

    def _split(self, items: list[int], attempts: Attempts) -> tuple[list[Part], list[int]]:
        """Parts within the limits, and items that nobody serves."""
        limit = self._routing.pool.batch_bytes
        parts: list[Part] = []
        homeless: list[int] = []
        open_parts: dict[tuple[str, int, bool], Part] = {}
        for item in items:
            place = self.place(item)
            if place is None or not place.members:
                homeless.append(item)
                continue
            member = attempts.pick(place.members)
            resent = item in self._resends
            key = (member.address, place.shard, resent)
            size = self.size(item)
            part = open_parts.get(key)
            if part is None or len(part.items) >= self._items_limit or part.bytes + size > limit:
                part = open_parts[key] = Part(place, member, resent)
                parts.append(part)
            part.items.append(item)
            part.bytes += size
        return parts, homeless

    def _call(self, part: Part, attempts: Attempts) -> Call:
        request = self.request(part)
        resends = max(self._resends.get(item, 0) for item in part.items)
        address_to(request.header, self._routing, part.place.shard, resends)
        at_most = attempts.at_most(self.kind(part.items[0]), part.place.members, part.member)
        return Call(part.member.address, self.method, request, self._deadline, at_most, part.place.shard)

    def _settle(self, part: Part, answer: Any, attempts: Attempts, missed: list[Missed]) -> list[int]:
        """Judge a part's answer; returns the items to ask again."""
        if not isinstance(answer, Failure):
            if len(answer.results) == len(part.items):
                self._routing.answered(part.member, answer.header)
                return self._settle_items(part, answer, attempts, missed)
            text = f"{part.member.address} answered {len(answer.results)} of {len(part.items)} items"
            answer = Failure(Transport.LOST, Internal(text))
        if answer.cause is ErrorCode.BATCH_TOO_LARGE and len(part.items) > 1:
            self._items_limit = max(1, min(self._items_limit, len(part.items) // 2))
            return part.items
        distinct: dict[object, Missed] = {}
        again = [item for item in part.items if self._again(item, part, answer, attempts, distinct)]
        missed.extend(distinct.values())
        return again

    def _settle_items(self, part: Part, answer: Any, attempts: Attempts, missed: list[Missed]) -> list[int]:
        again: list[int] = []
        distinct: dict[object, Missed] = {}
        for item, result in zip(part.items, answer.results, strict=True):
            if not result.HasField("error"):
                self.accept(item, result)
            elif self._again(
                item, part, failure_of_message(result.error, part.place.shard), attempts, distinct
            ):
                again.append(item)
        missed.extend(distinct.values())
        return again

    def _again(
        self, item: int, part: Part, failure: Failure, attempts: Attempts, distinct: dict[object, Missed]
    ) -> bool:
        """Whether the item is asked again; else it gets its final error."""
        action = attempts.judge(failure, self.kind(item), part.resent)
        if action is Action.UNKNOWN:
            self.errors[item] = unknown_outcome(failure.error)
            return False
        if action is Action.RAISE:
            if item not in self._resends:
                # Else the error says something else, and a broken session is told by its next call.
                self._routing.reported(failure.error)
            self._fail(item, failure.error)
            return False
        if action is Action.RESEND:
            self._resends[item] = self._resends.get(item, 0) + 1
        self._last_error[item] = failure.error
        # One miss for each cause and moved slot: a part is one retry, however many items it has.
        key = (failure.cause, None if failure.route is None else failure.route.slot)
        distinct.setdefault(key, Missed(part.member, failure, action, part.place.members))
        return True

    def _fail(self, item: int, error: AidbError) -> None:
        self.errors[item] = unknown_outcome(error) if item in self._resends else error


class ReadRounds(Rounds):
    """Batches of reads."""

    method = "BatchGet"

    def __init__(
        self, routing: Routing, keys: Sequence[bytes], consistency: Consistency, deadline: float
    ) -> None:
        super().__init__(routing, [slot_of(key) for key in keys], deadline)
        self._keys = keys
        self._consistency = consistency
        self.entries: list[Entry | None] = [None] * len(keys)

    def kind(self, item: int) -> Kind:
        return Kind.READ

    def place(self, item: int) -> Place | None:
        if self._consistency == "strong":
            return self._routing.primary(self._slots[item])
        return self._routing.readers(self._slots[item], self._keys[item])

    def size(self, item: int) -> int:
        return len(self._keys[item])

    def request(self, part: Part) -> storage_pb2.BatchGetRequest:
        header = read_header(self._routing, self._consistency, self._deadline)
        return storage_pb2.BatchGetRequest(header=header, keys=[self._keys[item] for item in part.items])

    def accept(self, item: int, result: storage_pb2.GetResult) -> None:
        self.entries[item] = entry_of(self._keys[item], result)


class WriteRounds(Rounds):
    """Batches of writes. Item i has request number ``first_seq + i`` in every send (V6)."""

    method = "BatchPut"

    def __init__(
        self, routing: Routing, writes: Sequence[Write], durability: Durability | None, deadline: float
    ) -> None:
        super().__init__(routing, [slot_of(write.key) for write in writes], deadline)
        self._writes = writes
        self._first_seq = routing.take_seqs(len(writes))
        self._header = write_header(routing, durability, deadline, self._first_seq)
        self.versions = [0] * len(writes)

    def kind(self, item: int) -> Kind:
        return kind_of(self._writes[item])

    def place(self, item: int) -> Place | None:
        return self._routing.primary(self._slots[item])

    def size(self, item: int) -> int:
        write = self._writes[item]
        return len(write.key) + len(write.value or b"")

    def request(self, part: Part) -> storage_pb2.BatchPutRequest:
        request = storage_pb2.BatchPutRequest(header=self._header)
        for item in part.items:
            op = write_op(self._writes[item])
            op.request_seq = self._first_seq + item
            request.ops.append(op)
        return request

    def accept(self, item: int, result: storage_pb2.WriteResult) -> None:
        self.versions[item] = result.version


def get_many(
    routing: Routing, keys: Sequence[bytes], consistency: Consistency, deadline: float
) -> Operation[list[Entry | None]]:
    """`KeyValue.get_entries`: all, or the first key's error."""
    for key in keys:
        check_key(key)
    rounds = ReadRounds(routing, keys, consistency, deadline)
    yield from rounds.run(range(len(keys)))
    if rounds.errors:
        raise rounds.errors[min(rounds.errors)]
    return rounds.entries


def write_many(
    routing: Routing, writes: Sequence[Write], durability: Durability | None, deadline: float
) -> Operation[BatchResult]:
    """`KeyValue.write_many`."""
    for write in writes:
        check_key(write.key)
    rounds = WriteRounds(routing, writes, durability, deadline)
    for wave in waves(writes):
        yield from rounds.run(wave)
    return BatchResult(rounds.versions, rounds.errors)


def waves(writes: Sequence[Write]) -> list[list[int]]:
    """Items in groups that hold each key once: the n-th write of a key is in the n-th group.

    Parts travel side by side and are retried apart, so two writes of one key must not be under way together.
    """
    seen: dict[bytes, int] = {}
    grouped: list[list[int]] = []
    for item, write in enumerate(writes):
        turn = seen.get(write.key, 0)
        seen[write.key] = turn + 1
        if turn == len(grouped):
            grouped.append([])
        grouped[turn].append(item)
    return grouped
