"""A session that lost something is told once, and by an error that says so (C5)."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable
from typing import Any

import pytest

from aidb import unary
from aidb.attempts import Pause
from aidb.batches import write_many
from aidb.commands import Call, CallAll, Operation
from aidb.errors import ErrorCode, SessionBroken, ShardUnavailable, UnknownOutcome
from aidb.failure import Failure
from aidb.interface import Write
from aidb.policy import Transport
from aidb.routing import Routing
from aidb.slots import SLOT_COUNT
from aidb.token import encode
from aidb.topology import Member, Shard, View

LOST = Failure(Transport.LOST, ShardUnavailable("the connection broke", shard=0))
BROKEN = Failure(
    ErrorCode.SESSION_BROKEN, SessionBroken("a takeover lost it", shard=0, token_lsn=9, cut_lsn=5)
)


@pytest.fixture
def routing() -> Routing:
    """A session that has seen LSN 9 of the only shard."""
    made = Routing(token=encode({0: (1, 9)}, 1))
    shard = Shard(0, 1, Member("p", "127.0.0.1:1"), ())
    made.adopt(View("u", 1, 1, array("H", [0]) * SLOT_COUNT, {0: shard}, ()))
    return made


def perform(operation: Operation[Any], failures: Iterable[Failure]) -> Any:
    """Its sends fail in this order. What it returns or raises."""
    left = iter(failures)
    command = next(operation)
    while True:
        try:
            match command:
                case Call():
                    command = operation.send(next(left))
                case CallAll():
                    command = operation.send([next(left) for _ in command.calls])
                case Pause():
                    command = operation.send(None)
                case _:
                    raise AssertionError(command)
        except StopIteration as stop:
            return stop.value


def seen(routing: Routing) -> bool:
    return routing.token.for_shard(0) != encode({}, 1)


def test_a_refused_call_tells_it_and_the_session_begins_anew(routing: Routing) -> None:
    with pytest.raises(SessionBroken):
        perform(unary.get(routing, b"k", "session", time.monotonic() + 10), [BROKEN])
    assert not seen(routing)


def test_a_resent_write_has_an_unknown_outcome_and_the_next_call_tells_it(routing: Routing) -> None:
    write = Write(b"k", b"v")
    with pytest.raises(UnknownOutcome):
        perform(unary.put(routing, write, None, time.monotonic() + 10), [LOST, BROKEN])
    assert seen(routing), "nobody was told yet"
    with pytest.raises(SessionBroken):
        perform(unary.put(routing, write, None, time.monotonic() + 10), [BROKEN])
    assert not seen(routing)


def test_so_has_a_resent_batch(routing: Routing) -> None:
    writes = [Write(b"k", b"v"), Write(b"l", b"w")]
    result = perform(write_many(routing, writes, None, time.monotonic() + 10), [LOST, BROKEN])
    assert {type(error) for error in result.errors.values()} == {UnknownOutcome}
    assert seen(routing)
    result = perform(write_many(routing, writes, None, time.monotonic() + 10), [BROKEN])
    assert {type(error) for error in result.errors.values()} == {SessionBroken}
    assert not seen(routing)


def test_what_a_shard_lost_is_told_by_those_that_took_its_slots(routing: Routing) -> None:
    """s4: the session saw LSN 9 of shard 0, of which a takeover kept 5; by then shard 1 has the slots."""
    shards = {
        0: Shard(0, 2, Member("p", "127.0.0.1:1"), (), ((1, 5),)),
        1: Shard(1, 1, Member("q", "127.0.0.1:2"), ()),
    }
    routing.adopt(View("u", 2, 1, array("H", [1]) * SLOT_COUNT, shards, ()))
    assert routing.token.for_shard(1, routing.lost) == encode({0: (1, 9)}, 1)
    with pytest.raises(SessionBroken):
        perform(unary.get(routing, b"k", "session", time.monotonic() + 10), [BROKEN])
    assert routing.token.for_shard(1, routing.lost) == encode({}, 1)


def test_what_a_shard_kept_is_no_loss(routing: Routing) -> None:
    shards = {0: Shard(0, 3, Member("p", "127.0.0.1:1"), (), ((1, 9), (2, 11)))}
    routing.adopt(View("u", 2, 1, array("H", [0]) * SLOT_COUNT, shards, ()))
    assert not routing.lost
