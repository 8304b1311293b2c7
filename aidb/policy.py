"""What a client does about an error: one table for both clients; the Rust client is held to it by
`tests/routing_cases.json`.

The rule behind the table (V6): an error that says "not done" may always be tried again. An unknown outcome
may be tried again only for reads, and for plain writes under the same request id, which the shard remembers.
A conditional
write is never sent again after an unknown outcome: the second answer would judge the first attempt's effect.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from aidb.errors import ErrorCode


class Kind(StrEnum):
    """What a request may do twice."""

    READ = "read"
    WRITE = "write"
    CONDITIONAL = "conditional_write"


class Transport(Enum):
    """Failures that no server reported."""

    UNREACHABLE = "UNREACHABLE"  # no connection: the request was never sent
    LOST = "LOST"  # the connection broke, or an answer made no sense: the outcome is unknown
    TIMEOUT = "TIMEOUT"  # no answer in time: the outcome is unknown


class Action(StrEnum):
    """What to do next."""

    RAISE = "raise"  # to the application, as it is
    REDIRECT = "redirect"  # to the address in the error, at once
    OTHER_MEMBER = "other_member"  # at once, while there is one that was not asked; else as BACKOFF
    BACKOFF = "backoff"  # wait, then again
    REFRESH = "refresh"  # wait for a newer topology or the backoff, then again
    RESEND = "resend"  # wait, then the same request id with attempt + 1
    UNKNOWN = "unknown"  # raise UnknownOutcome


Cause = ErrorCode | Transport

_RAISE = (Action.RAISE,) * 3

# cause -> (read, write, conditional write)
_TABLE: dict[Cause, tuple[Action, Action, Action]] = {
    ErrorCode.MOVED: (Action.REDIRECT,) * 3,
    ErrorCode.NOT_PRIMARY: (Action.REFRESH,) * 3,
    ErrorCode.TOPOLOGY_STALE: (Action.OTHER_MEMBER, Action.BACKOFF, Action.BACKOFF),
    ErrorCode.SHARD_UNAVAILABLE: (Action.OTHER_MEMBER, Action.REFRESH, Action.REFRESH),
    ErrorCode.STARTING: (Action.OTHER_MEMBER, Action.BACKOFF, Action.BACKOFF),
    ErrorCode.BUSY: (Action.OTHER_MEMBER, Action.BACKOFF, Action.BACKOFF),
    ErrorCode.STALLED: (Action.OTHER_MEMBER, Action.BACKOFF, Action.BACKOFF),
    ErrorCode.NO_LEASE: (Action.OTHER_MEMBER, Action.REFRESH, Action.REFRESH),
    ErrorCode.SHUTTING_DOWN: (Action.OTHER_MEMBER, Action.REFRESH, Action.REFRESH),
    ErrorCode.CLOCK_SKEW: (Action.OTHER_MEMBER, Action.REFRESH, Action.REFRESH),
    ErrorCode.UNKNOWN_OUTCOME: (Action.OTHER_MEMBER, Action.RESEND, Action.UNKNOWN),
    ErrorCode.POISONED: (Action.OTHER_MEMBER, Action.RAISE, Action.RAISE),
    ErrorCode.DISK_FULL: (Action.OTHER_MEMBER, Action.RAISE, Action.RAISE),
    ErrorCode.CORRUPTION: (Action.OTHER_MEMBER, Action.RAISE, Action.RAISE),
    ErrorCode.INTERNAL: (Action.OTHER_MEMBER, Action.RESEND, Action.UNKNOWN),
    Transport.UNREACHABLE: (Action.OTHER_MEMBER, Action.REFRESH, Action.REFRESH),
    Transport.LOST: (Action.OTHER_MEMBER, Action.RESEND, Action.UNKNOWN),
    Transport.TIMEOUT: (Action.OTHER_MEMBER, Action.RESEND, Action.UNKNOWN),
}

# Causes that speak of the member, not of the request or the shard: it is left alone for a while.
EJECTING: frozenset[Cause] = frozenset(
    {*Transport, ErrorCode.STARTING, ErrorCode.SHUTTING_DOWN, ErrorCode.CLOCK_SKEW, ErrorCode.INTERNAL}
)


def decide(cause: Cause, kind: Kind) -> Action:
    """The next action. Causes without a row (refusals of the request) are raised."""
    read, write, conditional = _TABLE.get(cause, _RAISE)
    return read if kind is Kind.READ else write if kind is Kind.WRITE else conditional
