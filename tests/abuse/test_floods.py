"""Frames without end: whoever sends them is held back or cut off, the others are served."""

from __future__ import annotations

import random

import pytest

from tests.abuse.bounds import unharmed
from tests.abuse.floods import FLOODS, Flood, flood
from tests.abuse.targets import Cluster

STEPS = 5_000


@pytest.mark.parametrize("kind", FLOODS, ids=lambda kind: kind.__name__)
def test_a_flood(cluster: Cluster, rng: random.Random, kind: Flood) -> None:
    targets = [target for target in cluster.targets if target.speaks_grpc]
    with unharmed(cluster, 1):
        held = [flood(target.address, kind, rng, STEPS) for target in targets]
        for target in targets:
            target.serves()
        for connection in held:
            connection.close()
