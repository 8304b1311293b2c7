"""The evidence runs in short: the code of `make evidence-restart` and `make evidence-coherence`, few rounds.

The mutants are left to the long run, because each needs a build of its own; that the checkers would find
them is tested on histories in tests/checkers, and on the replica's rules in node/src/replica/model.rs.
"""

from __future__ import annotations

import random

from tests.evidence import coherence, restart
from tests.evidence.report import Report

SEED = random.randrange(2**32)


def test_kills_lose_nothing() -> None:
    print(f"seed {SEED}")
    report = Report("restart", SEED)
    restart.run(len(restart.VICTIMS), SEED, report)
    assert report.violations == 0
    assert report.numbers["writes_in_flight_at_kills"] > 0 and report.numbers["acknowledged"] > 1000


def test_what_clients_see_is_what_was_promised() -> None:
    print(f"seed {SEED}")
    report = Report("coherence", SEED)
    coherence.run(4, SEED, report)
    assert report.violations == 0
    assert report.numbers["session_reads"] > 100 and report.numbers["replica_hits"] > 0
