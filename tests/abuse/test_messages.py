"""Hostile messages to every method: each gets its answer or a typed error, and nothing panics."""

from __future__ import annotations

import random

from tests.abuse.bounds import unharmed
from tests.abuse.calls import judge
from tests.abuse.messages import SERVED, Method, crafted, hostile, methods
from tests.abuse.targets import Cluster

EACH = 4


def _unharmed_by(cluster: Cluster, calls: list[tuple[Method, bytes]]) -> None:
    with unharmed(cluster, 8, in_flight=True):
        problems = [
            problem
            for target in cluster.targets
            if target.speaks_grpc
            for problem in judge(target, [call for call in calls if target.name in SERVED[call[0].service]])
        ]
    assert problems == []
    said = cluster.last_words()
    assert "panicked" not in said and "defect in" not in said, said[-2000:]


def test_every_method_is_called() -> None:
    assert {method.service for method in methods()} == set(SERVED)


def test_what_an_attacker_thinks_of_first(cluster: Cluster) -> None:
    known = {method.path: method for method in methods()}
    _unharmed_by(cluster, [(known[path], message.SerializeToString()) for path, message in crafted()])


def test_extremes_and_noise(cluster: Cluster, rng: random.Random) -> None:
    calls = [(method, raw) for method in methods() for raw in hostile(method.request, rng, EACH)]
    _unharmed_by(cluster, calls)
