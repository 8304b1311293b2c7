"""One metric at one time: how many servers it asks for.

`wanted` is None where the metric is not known: it asks for no more, and nothing may go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aidb_coordinator.autoscaler.rules import Band


@dataclass(frozen=True, slots=True)
class Proposal:
    wanted: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric of one server; `value` None = not known. Of those that are not `ready` it counts only for what
    speaks against a change.
    """

    value: float | None
    ready: bool = True


def known(value: float | None) -> float | None:
    """None for what is no measurement."""
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def by_ratio(
    name: str,
    readings: Sequence[Reading],
    count: int,
    band: Band,
    tolerance: float,
    show: Callable[[float], str],
) -> Proposal:
    """`count` servers of which `readings` were heard; those that were not are missing.

    The missing count as 0 when the rest is too busy, and as the target when it is too idle. If the mean is
    then not above the target, or not below the band, nothing changes.
    """
    values = [value for reading in readings if reading.ready and (value := known(reading.value)) is not None]
    if not values:
        return Proposal(None, f"{name} is not known")
    absent = max(0, max(count, len(readings)) - len(values))
    mean = sum(values) / len(values)
    heard = f"{name} {show(mean)}"
    if absent:
        heard += f" ({absent} of {absent + len(values)} not known)"
    if mean > band.high:
        assumed = sum(values) / (len(values) + absent)
        wanted = _for_target(count, assumed, band.target, tolerance)
        if wanted > count:
            return Proposal(wanted, f"{heard} is above {show(band.high)}: {wanted} for {show(band.target)}")
        return Proposal(count, f"{heard} is above {show(band.high)}, but may not be with all of them")
    if mean < band.low:
        assumed = (sum(values) + absent * band.target) / (len(values) + absent)
        wanted = _for_target(count, assumed, band.target, tolerance) if assumed < band.low else count
        if wanted < count:
            return Proposal(wanted, f"{heard} is below {show(band.low)}: {wanted} for {show(band.target)}")
        return Proposal(count, f"{heard} is below {show(band.low)}, and fewer may be too few")
    return Proposal(count, f"{heard} is between {show(band.low)} and {show(band.high)}")


def _for_target(count: int, value: float, target: float, tolerance: float) -> int:
    ratio = value / target
    return count if abs(ratio - 1) <= tolerance else math.ceil(min(count * ratio, 1e9) - 1e-9)


def largest(current: int, proposals: Iterable[Proposal]) -> tuple[int, tuple[str, ...]]:
    """The most that any metric asks for, and why; no less than `current` if any is not known."""
    asked = tuple(proposals)
    numbers = [proposal.wanted for proposal in asked if proposal.wanted is not None]
    wanted = max(numbers, default=current)
    if wanted < current and len(numbers) < len(asked):
        unknown = "; ".join(proposal.reason for proposal in asked if proposal.wanted is None)
        return current, (f"{unknown}: nothing goes",)
    return wanted, tuple(proposal.reason for proposal in asked if proposal.wanted in (wanted, None))
