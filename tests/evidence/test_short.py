"""The evidence runs in short: the code of `make evidence-restart`, `-coherence`, `-zombie`, `-handover` and
`-elastic`, few rounds.

That of `make evidence-engine` is among the engine's own tests. The mutants are left to the long run, because
they need a build of their own; that the checkers would find them is tested on histories in tests/checkers,
and on the replica's rules in node/src/replica/model.rs.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.evidence import coherence, engine, handover, restart, zombie
from tests.evidence.elastic import __main__ as elastic
from tests.evidence.elastic.book import Book
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


def test_an_engine_run_that_drops_little_or_misses_a_defect_proves_nothing() -> None:
    sums = engine.sums("rounds_that_dropped=34 undone_names=1 kills_acknowledged=5 lives=9")
    sums["defects_found"] = engine.DEFECTS
    assert engine.did_damage(100, sums)
    for name in ("rounds_that_dropped", "undone_names", "kills_acknowledged", "defects_found"):
        less = Counter(sums)
        less[name] -= 1 if name in ("rounds_that_dropped", "defects_found") else sums[name]
        assert not engine.did_damage(100, less), name
    long = Counter({**sums, "rounds_that_dropped": engine.LONG_ROUNDS, **dict.fromkeys(engine.MET, 1)})
    assert engine.did_damage(engine.LONG_ROUNDS, long)
    for name in engine.MET:
        assert not engine.did_damage(engine.LONG_ROUNDS, Counter({**long, name: 0})), name


def test_old_primaries_acknowledge_nothing_late(seed: int, tmp_path: Path) -> None:
    report = Report("zombie", seed)
    zombie.run(3, seed, report, tmp_path)
    print(report.last_line())
    assert report.violations == 0


def test_clients_do_not_notice_a_hand_over(seed: int, tmp_path: Path) -> None:
    report = Report("handover", seed)
    handover.run(2, seed, report, tmp_path)
    print(report.last_line())
    assert report.violations == 0


def test_nobody_notices_that_the_cluster_grows_and_shrinks(seed: int) -> None:
    report = Report("elastic", seed)
    size = elastic.Size(
        steps=(2, 1), lanes=1, keys_each=200, still=300, closed=0.5, share=0.2, settle=0.2, enough=0.0
    )
    elastic.run(1, seed, report, size)
    print(report.last_line())
    assert report.violations == 0
    assert elastic.did_something(report.numbers)


def test_a_book_finds_what_is_lost_and_what_is_back() -> None:
    kept = Book(50)
    last = None
    for _ in range(8):
        number, last = kept.begin(b"k")
        kept.acknowledge(b"k", number)
    states = [None, *(Book(50)._value(number) for number in range(1, 9))]
    assert (states[7], states[8]) == (None, last), "the seventh deletes"
    assert list(kept.problems({b"k": last})) == []
    for lost in (states[6], None, b"of nobody"):
        assert list(kept.problems({b"k": lost})) != []
    floor = kept.floor(b"k")
    _, later = kept.begin(b"k")
    assert kept.why_not(b"k", later, floor) == "" == kept.why_not(b"k", last, floor), "it may be there"
    assert "8 was acknowledged" in kept.why_not(b"k", states[6], floor)
