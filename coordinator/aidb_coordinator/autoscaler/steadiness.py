"""From what each sample asks for to what is done now: stabilisation, cooldown, limits of a step.

To grow, everything in a short time has to call for it; to shrink, nothing in a long one may call for more. So
within a stabilisation window the direction changes at most once, from down to up, and load that comes after
shrinking is answered at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aidb_coordinator.autoscaler.history import Change
from aidb_coordinator.autoscaler.rules import Limits


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sample of a time asks for. known: it told anything; else nothing may go."""

    at: float
    count: int
    known: bool = True


def steady(
    current: int,
    asked: Sequence[Asked],
    changes: Sequence[Change],
    limits: Limits,
    now: float,
    gap: float,
) -> tuple[int, str]:
    """The number that there should be, within the limits, and what held it back (empty = nothing did).

    `asked` ascending by time, the newest is of now; `changes` of this number; `gap`: longer between two
    samples and something is missing.
    """
    if not limits.least <= current <= limits.most:
        return limits.clip(current), f"it was outside of {limits.least} to {limits.most}"
    newest = asked[-1].count
    if newest > current:
        return _up(current, asked, changes, limits, now, gap)
    if newest < current:
        return _down(current, asked, changes, limits, now, gap)
    return current, ""


def _up(
    current: int, asked: Sequence[Asked], changes: Sequence[Change], limits: Limits, now: float, gap: float
) -> tuple[int, str]:
    calm = _calm(changes, now)
    if calm < limits.up_cooldown:
        return current, f"it changed {calm:.0f} s ago: the next step up waits {limits.up_cooldown:.0f} s"
    recent = [one for one in asked if one.at > now - limits.up_window or one is asked[-1]]
    if limits.up_window and not _covers(asked, now - limits.up_window, gap):
        return current, f"asked for less than {limits.up_window:.0f} s"
    least = min(one.count for one in recent)
    if least <= current:
        return current, f"not asked for throughout {limits.up_window:.0f} s"
    step = max(math.floor(current * limits.up_factor), current + limits.up_step)
    wanted = min(least, step, limits.most)
    if wanted == asked[-1].count:
        return wanted, ""
    return wanted, _bound(wanted, step, limits.most) or "less was asked for before"


def _down(
    current: int, asked: Sequence[Asked], changes: Sequence[Change], limits: Limits, now: float, gap: float
) -> tuple[int, str]:
    calm = _calm(changes, now)
    if calm < limits.down_cooldown:
        return current, f"it changed {calm:.0f} s ago: the next step down waits {limits.down_cooldown:.0f} s"
    since_up = min((now - one.at for one in changes if one.after > one.before), default=math.inf)
    if since_up < limits.window:
        return current, f"it grew {since_up:.0f} s ago: nothing goes for {limits.window:.0f} s"
    if not _covers(asked, now - limits.window, gap):
        return current, f"what was asked for in the last {limits.window:.0f} s is not known throughout"
    recent = [one for one in asked if one.at >= now - limits.window]
    if not all(one.known for one in recent):
        return current, f"a metric was missing in the last {limits.window:.0f} s"
    most = max(one.count for one in recent)
    if most >= current:
        return current, f"{most} were asked for in the last {limits.window:.0f} s"
    step = current - max(1, math.floor(current * limits.down_factor))
    wanted = max(most, step, limits.least)
    if wanted == asked[-1].count:
        return wanted, ""
    return wanted, _bound(wanted, step, limits.least) or "more were asked for before"


def _bound(wanted: int, step: int, limit: int) -> str:
    if wanted == limit:
        return f"{limit} is the limit"
    return "one step at a time" if wanted == step else ""


def _calm(changes: Sequence[Change], now: float) -> float:
    """Seconds since the newest change."""
    return now - changes[-1].at if changes else math.inf


def _covers(asked: Sequence[Asked], since: float, gap: float) -> bool:
    """Whether samples reach back to `since` without a gap."""
    before = math.inf
    for one in reversed(asked):
        if before - one.at > gap and before != math.inf:
            return False
        before = one.at
        if one.at <= since:
            return True
    return False
