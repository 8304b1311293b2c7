"""What a failed call says when no server's own words came with it."""

from __future__ import annotations

import pytest

from aidb.attempts import Attempts, Missed, Pause
from aidb.errors import DeadlineExceeded, ErrorCode, Moved
from aidb.failure import Failure, failure_of_status
from aidb.policy import Action, Cause, Transport
from aidb.routing import Routing
from aidb.topology import Member
from aidb.v1 import common_pb2


@pytest.mark.parametrize(
    ("status", "details", "cause"),
    [
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Transport.TIMEOUT),
        ("CANCELLED", "Timeout expired", Transport.TIMEOUT),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...", Transport.UNREACHABLE),
        ("UNAVAILABLE", "Socket closed", Transport.LOST),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", ErrorCode.BATCH_TOO_LARGE),
        ("UNIMPLEMENTED", "", ErrorCode.UNSUPPORTED),
        ("INTERNAL", "RST_STREAM", Transport.LOST),
    ],
)
def test_only_what_was_surely_not_sent_counts_as_that(status: str, details: str, cause: Cause) -> None:
    assert failure_of_status(status, details, None, "host:1").cause == cause


def test_a_redirect_that_came_too_late_is_a_matter_of_time() -> None:
    """`Moved` means that following it did not help."""
    now = [0.0]
    routing = Routing(clock=lambda: now[0])
    attempts = Attempts(routing, deadline=1.0)
    moved = Moved("slot 7 is at shard 2")
    route = common_pb2.Route(slot=7, shard=2, address="h:1", topology_version=9)
    member = Member("shard-1-primary", "h:2")
    missed = [Missed(member, Failure(ErrorCode.MOVED, moved, route), Action.REDIRECT, [member])]
    for _ in range(5):
        assert attempts.next_round(missed) == Pause(0.0, refresh=True)
    now[0] = 1.0
    assert isinstance(attempts.given_up(moved), DeadlineExceeded)
    now[0] = 0.5
    assert attempts.next_round(missed) is None
    assert attempts.given_up(moved) is moved
