"""The evidence runs in short: the code of `make evidence-restart` and `make evidence-coherence`, few rounds.

The mutants are left to the long run, because they need a build of their own; that the checkers would find
them is tested on histories in tests/checkers, and on the replica's rules in node/src/replica/model.rs.
"""

from __future__ import annotations

import random

import pytest

from tests.evidence import coherence, restart
from tests.evidence.report import Report


@pytest.fixture
def seed() -> int:
    """Printed, so that a failed run can be done again."""
    chosen = random.randrange(2**32)
    print(f"seed={chosen}")
    return chosen


def test_kills_lose_nothing(seed: int) -> None:
    report = Report("restart", seed)
    restart.run(len(restart.VICTIMS), seed, report)
    print(report.last_line())
    assert report.violations == 0
    assert restart.did_damage(report.numbers)


def test_what_clients_see_is_what_was_promised(seed: int) -> None:
    report = Report("coherence", seed)
    coherence.run(4, seed, report)
    print(report.last_line())
    assert report.violations == 0
    assert coherence.did_damage(report.numbers)


def test_a_run_without_damage_proves_nothing() -> None:
    restarted = Report("restart", 1).numbers
    restarted.update(calls_in_flight_at_kills=9, lost_calls=3, rounds_killing_router=restart.ENOUGH_KILLS)
    assert not restart.did_damage(restarted)
    restarted.update(calls_hit_killing_router=1)
    assert restart.did_damage(restarted)
    served = Report("coherence", 1).numbers
    served.update(replica_hits=9, replica_invalidations=9, calls_in_flight_at_faults=9)
    assert not coherence.did_damage(served)
    served.update(replica_forwards=9)
    assert coherence.did_damage(served)
    served.update({"break": coherence.ENOUGH_FAULTS})
    assert not coherence.did_damage(served)
