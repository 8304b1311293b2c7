"""Operations that one member answers with one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aidb.attempts import Attempts, Missed, Pause, unknown_outcome
from aidb.commands import Call, FromSpare, Operation, Spare
from aidb.errors import AidbError, CrossSlot, ErrorCode, KeyEmpty, ShardUnavailable
from aidb.failure import Failure, failure_of_message
from aidb.headers import address_to, read_header, write_header
from aidb.interface import Condition, Consistency, Durability, Entry, Write, WriteBatch
from aidb.policy import Action, Kind
from aidb.routing import Routing
from aidb.slots import slot_of
from aidb.v1 import storage_pb2


def get(routing: Routing, key: bytes, consistency: Consistency, deadline: float) -> Operation[Entry | None]:
    """`KeyValue.get_entry`."""
    check_key(key)
    request = storage_pb2.GetRequest(header=read_header(routing, consistency, deadline), key=key)
    answer = yield from _ask(routing, Kind.READ, "Get", request, key, consistency == "strong", deadline)
    return entry_of(key, answer)


def put(routing: Routing, write: Write, durability: Durability | None, deadline: float) -> Operation[int]:
    """`KeyValue.put` and `KeyValue.delete`."""
    check_key(write.key)
    header = write_header(routing, durability, deadline, routing.take_seqs(1))
    condition = condition_message(write.condition)
    request: Any
    if write.value is None:
        method, request = (
            "Delete",
            storage_pb2.DeleteRequest(header=header, key=write.key, condition=condition),
        )
    else:
        method = "Put"
        request = storage_pb2.PutRequest(
            header=header, key=write.key, value=write.value, ttl_ms=write.ttl_ms, condition=condition
        )
    answer = yield from _ask(routing, kind_of(write), method, request, write.key, True, deadline)
    version: int = answer.version
    return version


def write_batch(
    routing: Routing, batch: WriteBatch, durability: Durability | None, deadline: float
) -> Operation[int]:
    """`KeyValue.write_batch` (V5)."""
    writes = batch.writes
    if not writes:
        return 0
    for write in writes:
        check_key(write.key)
    slots = {slot_of(write.key) for write in writes}
    if len(slots) > 1:
        raise CrossSlot(
            f"the keys of this atomic batch lie in {len(slots)} slots; "
            "give them one hash tag, as in {user7}:name"
        )
    header = write_header(routing, durability, deadline, routing.take_seqs(len(writes)))
    request = storage_pb2.BatchPutRequest(
        header=header, ops=[write_op(write) for write in writes], atomic=True
    )
    conditional = any(write.condition for write in writes)
    kind = Kind.CONDITIONAL if conditional else Kind.WRITE
    answer = yield from _ask(
        routing, kind, "BatchPut", request, writes[0].key, True, deadline, check=_atomic_failure
    )
    version: int = answer.results[0].version
    return version


def _atomic_failure(answer: Any) -> Failure | None:
    """An atomic batch fails as one: the failed condition, if any, says why better than its siblings do."""
    errors = [result.error for result in answer.results if result.HasField("error")]
    if not errors:
        return None
    first = next((error for error in errors if error.code == ErrorCode.CONDITION_FAILED), errors[0])
    return failure_of_message(first, answer.header.shard)


def _ask(
    routing: Routing,
    kind: Kind,
    method: str,
    request: Any,
    key: bytes,
    primary_only: bool,
    deadline: float,
    check: Callable[[Any], Failure | None] | None = None,
) -> Operation[Any]:
    """Send ``request`` until it is answered, refused, or out of time; returns the answer."""
    slot = slot_of(key)
    attempts = Attempts(routing, deadline)
    resends = 0
    while True:
        place = routing.primary(slot) if primary_only else routing.readers(slot, key)
        error: AidbError
        pause: Pause | None
        if place is None or not place.members:
            error = nobody_serves(slot)
            pause = attempts.nobody()
        else:
            member = attempts.pick(place.members)
            address_to(request.header, routing, place.shard, resends)
            at_most = attempts.at_most(kind, place.members, member)
            other = attempts.spare(place.members, member) if kind is Kind.READ else None
            spare = None if other is None else Spare(other.address, routing.target(place.shard, member))
            answer = yield Call(member.address, method, request, deadline, at_most, place.shard, spare)
            if isinstance(answer, FromSpare):
                assert other is not None
                member, answer = other, answer.answer
            failure = answer if isinstance(answer, Failure) else check(answer) if check else None
            if failure is None:
                routing.answered(member, answer.header, key if kind is Kind.READ else None)
                return answer
            error = failure.error
            action = attempts.judge(failure, kind, resends > 0)
            if action is Action.UNKNOWN:
                raise unknown_outcome(error)
            if action is Action.RAISE:
                if resends:
                    # A broken session is told by its next call: this one's error says something else.
                    raise unknown_outcome(error)
                routing.reported(error)
                raise error
            resends += action is Action.RESEND
            pause = attempts.next_round([Missed(member, failure, action, place.members)])
        if pause is None:
            raise unknown_outcome(error) if resends else attempts.given_up(error)
        yield pause


def check_key(key: bytes) -> None:
    """Raises TypeError for anything but bytes, KeyEmpty for no bytes. The server knows the upper limit."""
    if not isinstance(key, bytes):
        raise TypeError(f"keys are bytes, not {type(key).__name__}")
    if not key:
        raise KeyEmpty("a key has at least one byte")


def kind_of(write: Write) -> Kind:
    """What a write may do twice."""
    return Kind.WRITE if write.condition is None else Kind.CONDITIONAL


def nobody_serves(slot: int) -> ShardUnavailable:
    """What is raised when the topology names nobody to ask."""
    return ShardUnavailable(f"no primary is known for slot {slot}; see `aidb status`")


def condition_message(condition: Condition | None) -> storage_pb2.Condition | None:
    """As the protocol has it."""
    if condition is None:
        return None
    if condition.if_version is not None:
        return storage_pb2.Condition(if_version=condition.if_version)
    if condition.if_absent:
        return storage_pb2.Condition(if_absent=True)
    return storage_pb2.Condition(if_exists=True)


def write_op(write: Write) -> storage_pb2.WriteOp:
    """As the protocol has it."""
    return storage_pb2.WriteOp(
        key=write.key,
        value=write.value or b"",
        delete=write.value is None,
        ttl_ms=write.ttl_ms,
        condition=condition_message(write.condition),
    )


def entry_of(key: bytes, answer: storage_pb2.GetResponse | storage_pb2.GetResult) -> Entry | None:
    """The entry in an answer, None when the key was not found."""
    if not answer.found:
        return None
    return Entry(key, answer.value, answer.version, expiry_of(answer.expires_at_unix_ms))


def expiry_of(unix_ms: int) -> float | None:
    """Seconds since 1970, None = never."""
    return unix_ms / 1000 if unix_ms else None
