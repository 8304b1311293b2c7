"""From when a taker may serve."""

from __future__ import annotations

import pytest
from aidb_node.takeover.turn import Sealed, turn

LEASE, BOUND = 10.0, 0.5


def asked(sealed: Sealed, *, dead: bool = False, wall_ms: int = 5_000, now: float = 103.0) -> float:
    return turn(sealed, lease=LEASE, clock_bound=BOUND, predecessor_dead=dead, wall_ms=wall_ms, now=now)


def test_after_a_lease_and_the_drift_from_the_last_seal() -> None:
    assert asked(Sealed(100.0)) == pytest.approx(110.5)


def test_a_dead_process_acknowledges_nothing_but_its_clock_may_have_been_ahead() -> None:
    assert asked(Sealed(100.0), dead=True) == pytest.approx(100.5)


def test_at_once_when_the_old_primary_sealed_its_log_itself() -> None:
    assert asked(Sealed(103.0, released=True, clock_ms=4_000)) == pytest.approx(103.0)
    assert asked(Sealed(103.0, released=True, clock_ms=5_200)) == pytest.approx(103.2)
    assert asked(Sealed(103.0, released=True, clock_ms=90_000)) == pytest.approx(103.5)
