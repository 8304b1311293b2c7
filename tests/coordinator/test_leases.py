from __future__ import annotations

import math

import pytest
from aidb_coordinator.leases import Leases, Renewal

T = 10.0


def held_by_a() -> Leases:
    leases = Leases(T, lambda: math.inf)
    leases.grant(0, 4, "a", 100.0)
    return leases


@pytest.mark.parametrize(
    ("case", "published", "epoch", "process", "now", "expected"),
    [
        ("the holder", 4, 4, "a", 101.0, Renewal.RENEWED),
        ("the holder, after its lease ended", 4, 4, "a", 190.0, Renewal.RENEWED),
        ("another process", 4, 4, "b", 101.0, Renewal.REGISTER_AGAIN),
        ("the holder, its next grant on the way", 5, 4, "a", 101.0, Renewal.NOT_NOW),
        ("the holder, its next grant long lost", 5, 4, "a", 111.0, Renewal.REGISTER_AGAIN),
        ("an epoch that was never published", 4, 5, "a", 101.0, Renewal.REGISTER_AGAIN),
    ],
)
def test_a_heartbeat_renews_for_the_right_process_and_epoch(
    case: str, published: int, epoch: int, process: str, now: float, expected: Renewal
) -> None:
    leases = held_by_a()
    assert leases.renew(0, published, epoch, process, now) is expected, case
    held = leases.of(0)
    assert held is not None
    assert held.ends_at == (now + T if expected is Renewal.RENEWED else 110.0), case


def test_a_restarted_coordinator_believes_the_published_epoch_only() -> None:
    leases = Leases(T, lambda: math.inf)
    assert leases.renew(0, 4, 3, "old", 0.0) is Renewal.REGISTER_AGAIN
    assert leases.renew(0, 4, 4, "a", 1.0) is Renewal.RENEWED
    assert leases.renew(0, 4, 4, "b", 2.0) is Renewal.REGISTER_AGAIN, "one process per epoch"


def test_no_lease_outlives_the_coordinators_own_leadership() -> None:
    until = 50.0
    leases = Leases(T, lambda: until)
    assert leases.renew(0, 1, 1, "a", 40.0) is Renewal.RENEWED
    assert leases.renew(0, 1, 1, "a", 40.1) is Renewal.NOT_NOW
    until = 60.0
    assert leases.renew(0, 1, 1, "a", 40.1) is Renewal.RENEWED, "the leadership was renewed"
    until = -math.inf
    assert leases.renew(0, 1, 1, "a", 40.1) is Renewal.NOT_NOW, "it is over"


def test_only_the_holder_releases() -> None:
    leases = held_by_a()
    leases.release(0, "b")
    assert leases.of(0) is not None
    leases.release(0, "a")
    assert leases.of(0) is None
