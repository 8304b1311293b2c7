"""When a shard's next incarnation is wanted because its primary stays gone. Pure.

A restart in place loses nothing, a takeover what was not archived: hence the grace. A primary that keeps
dying counts as gone since it was last healthy, not since its newest end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aidb_coordinator.health import MemberState, Verdict
from aidb_coordinator.topology import Shard


class Decision(Enum):
    NOTHING = "nothing"
    WANT = "want"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds. `enabled`: there is a second copy to take over from, and it was not switched off."""

    enabled: bool
    grace: float
    lease: float


def decide(shard: Shard, primary: Verdict, gone: float, leading: float, rules: Rules) -> Decision:
    """`gone`: since the primary was last known to be healthy; `leading`: since this coordinator leads
    (D2).
    """
    successor = shard.successor
    if primary.state is MemberState.HEALTHY:
        waits = successor is not None and not successor.planned and not successor.epoch
        return Decision.WITHDRAW if waits else Decision.NOTHING
    is_gone = primary.state in (MemberState.FAILED, MemberState.LEFT)
    if not rules.enabled or shard.fresh or shard.fenced or not is_gone:
        return Decision.NOTHING
    if gone < rules.grace or leading < rules.lease:
        return Decision.NOTHING
    unplanned = successor is not None and not successor.planned
    # A hand-over that has taken its epoch goes on by itself, whatever becomes of the old primary.
    under_way = successor is not None and successor.epoch > 0
    return Decision.NOTHING if unplanned or under_way else Decision.WANT
