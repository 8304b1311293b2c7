"""How one call goes on after failures: which member next, how long to wait, when to give up. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aidb.errors import (
    AidbError,
    DeadlineExceeded,
    ErrorCode,
    InvalidArgument,
    Moved,
    ShardUnavailable,
    UnknownOutcome,
)
from aidb.failure import Failure
from aidb.policy import EJECTING, Action, Kind, Transport, decide
from aidb.retry import backoff
from aidb.routing import Routing
from aidb.topology import Member

MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait ``seconds``; with ``refresh``, ask for a newer topology and wait only until it is there."""

    seconds: float
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Missed:
    """A failed send: to whom, why, what the table says, and who else could have been asked."""

    member: Member
    failure: Failure
    action: Action
    members: Sequence[Member]


class Attempts:
    """The course of one call (or of the rounds of one batch).

    Everything is bounded: by the deadline, by `Retry.attempts`, by five redirects, and by the shared budget,
    which redirects do not draw on (they are no extra load on a sick server).
    """

    def __init__(self, routing: Routing, deadline: float) -> None:
        self._routing = routing
        self._deadline = deadline
        self._avoid: set[str] = set()
        self._redirects = 0
        self._failures = 0
        self._rounds = 1
        self._connected_to_none = False
        routing.budget.called()

    def pick(self, members: Sequence[Member]) -> Member:
        """The best member that this call has not failed at; the best of all when it has failed at each."""
        for member in members:
            if member.name not in self._avoid:
                return member
        return members[0]

    def spare(self, members: Sequence[Member], member: Member) -> Member | None:
        """Whom to ask besides ``member``: the next that this call has not failed at."""
        for other in members:
            if other.name not in self._avoid and other is not member:
                return other
        return None

    def at_most(self, kind: Kind, members: Sequence[Member], member: Member) -> float:
        """Seconds to wait for ``member``. A read moves on early while it has another member to ask."""
        if kind is Kind.READ and self.spare(members, member) is not None:
            return self._routing.retry.read_attempt_timeout
        return math.inf

    def judge(self, failure: Failure, kind: Kind, resent: bool) -> Action:
        """The table's action; a shard that does not know a resent write's id has the last word (V6)."""
        if failure.cause is ErrorCode.UNKNOWN_OUTCOME and resent and not failure.error.retryable:
            return Action.UNKNOWN
        return decide(failure.cause, kind)

    def nobody(self) -> Pause | None:
        """Nobody serves the slot: wait for a topology that says otherwise. None = give up."""
        return self._wait(refresh=True, at_least=0.0)

    def next_round(self, missed: Sequence[Missed]) -> Pause | None:
        """What to wait before the failed sends are tried again. None = give up."""
        routing = self._routing
        now = routing.clock()
        redirected = waits = refresh = False
        causes = {miss.failure.cause for miss in missed}
        self._connected_to_none = causes == {Transport.UNREACHABLE} and not routing.reached
        at_least = 0.0
        for miss in missed:
            if miss.failure.cause in EJECTING:
                routing.ejections.failed(miss.member.name, now)
            if miss.action is Action.REDIRECT and miss.failure.route is not None:
                routing.learn(miss.failure.route)
                redirected = refresh = True
                continue
            if not routing.budget.spend(now):
                return None
            refresh |= miss.action in (Action.REFRESH, Action.REDIRECT)
            if miss.action is Action.OTHER_MEMBER:
                self._avoid.add(miss.member.name)
                if any(other.name not in self._avoid for other in miss.members):
                    continue
                self._avoid.clear()
                refresh = True
            waits = True
            at_least = max(at_least, miss.failure.error.retry_after or 0.0)
        if redirected:
            self._redirects += 1
            if self._redirects > MAX_REDIRECTS:
                return None
        if waits:
            return self._wait(refresh, at_least)
        return self._go_on(Pause(0.0, refresh))

    def given_up(self, error: AidbError) -> AidbError:
        """What the caller is told after the last failure: a redirect for which there was no time any more is
        a matter of time, `Moved` means that following did not help. Who has the topology and reaches nobody
        in it is behind a port-forward, or looks into a network that is not its own.
        """
        if self._connected_to_none and not self._routing.through:
            return ShardUnavailable(
                f"{error.message}. The cluster answers, but the addresses of its members lead nowhere from "
                "here: connect to a router with direct=False (aidb --no-direct, AIDB_DIRECT=0)",
                shard=error.shard,
            )
        if isinstance(error, Moved) and self._routing.through:
            return InvalidArgument(
                f"{error.message}: with direct=False an address has to be a router's, nodes serve one shard",
                shard=error.shard,
            )
        if isinstance(error, Moved) and self._redirects <= MAX_REDIRECTS:
            return DeadlineExceeded(f"the time was up before the new shard could be asked ({error.message})")
        return error

    def _wait(self, refresh: bool, at_least: float) -> Pause | None:
        self._failures += 1
        seconds = at_least + backoff(self._routing.retry, self._failures, self._routing.rng)
        return self._go_on(Pause(seconds, refresh))

    def _go_on(self, pause: Pause) -> Pause | None:
        self._rounds += 1
        if self._rounds > self._routing.retry.attempts:
            return None
        return pause if self._routing.clock() + pause.seconds < self._deadline else None


def unknown_outcome(error: AidbError) -> UnknownOutcome:
    """What a write raises that may have been done; ``details["cause"]`` is the last failure's text."""
    if isinstance(error, UnknownOutcome):
        return error
    raised = UnknownOutcome(
        f"the write may or may not have been done ({error.message}); read the key to find out",
        shard=error.shard,
        details={"cause": str(error)},
    )
    raised.__cause__ = error
    return raised
