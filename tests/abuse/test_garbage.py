"""What is no gRPC harms nobody else, on any port."""

from __future__ import annotations

import random

from tests.abuse.bounds import unharmed
from tests.abuse.garbage import pester
from tests.abuse.targets import Cluster

CONNECTIONS = 150


def test_every_port_goes_on_serving(cluster: Cluster, rng: random.Random) -> None:
    with unharmed(cluster, 2 * CONNECTIONS):
        held = [
            connection
            for target in cluster.targets
            for connection in pester(target.address, rng, CONNECTIONS)
        ]
        for target in cluster.targets:
            target.serves()
        for connection in held:
            connection.close()
