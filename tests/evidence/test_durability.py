"""`make evidence-durability` in short: kills and lost disks, a directory as the store. Disks that forget what
was not synced are left to the long run, because they need a build of their own.
"""

from __future__ import annotations

import random
from collections import Counter

from tests.evidence.durability import __main__ as durability
from tests.evidence.durability.plan import LONG_ROUNDS, Mode, Store, clusters
from tests.evidence.report import Report


def test_what_is_recovered_has_what_was_promised() -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    report = Report("durability", seed)
    durability.run(5, seed, report, environment={}, stores=(Store.FILE,), volatile_disks=False, lanes=1)
    print(report.last_line())
    assert report.violations == 0
    assert report.rounds == 5
    assert durability.did_damage(5, report.numbers, volatile_disks=False)


def test_a_run_that_drops_or_loses_little_proves_nothing() -> None:
    good = Counter(
        liars_found=2,
        acknowledged=9,
        promised=5,
        rounds_that_dropped=30,
        rounds_async=100,
        rounds_losing_async=10,
    )
    assert durability.did_damage(100, good)
    for name in ("liars_found", "acknowledged", "promised", "rounds_that_dropped", "rounds_losing_async"):
        less = Counter(good)
        less[name] = 0 if name in ("acknowledged", "promised") else less[name] - 1
        assert not durability.did_damage(100, less), name
    kinds = dict.fromkeys(("faults_error", "faults_slow", "faults_conflict", "faults_lost_answer"), 1)
    grown = Counter({**{name: 10 * count for name, count in good.items()}, **kinds})
    assert durability.did_damage(1000, grown)
    for kind in kinds:
        assert not durability.did_damage(1000, Counter({**grown, kind: 0})), kind


def test_a_long_run_has_every_kind_of_cluster() -> None:
    made = clusters(2000, random.Random(1), (Store.FILE, Store.S3), tuple(Mode))
    assert sum(cluster.rounds for cluster in made) == 2000
    assert {cluster.mode for cluster in made} == set(Mode)
    assert {cluster.store for cluster in made} == set(Store)
    assert sum(cluster.rounds for cluster in made if cluster.lease > 1) == 20
    assert (
        sum(cluster.rounds for cluster in clusters(LONG_ROUNDS, random.Random(1), (Store.FILE,), tuple(Mode)))
        == 200
    )
