"""Who begins and does not go on costs what has come, and loses the connection."""

from __future__ import annotations

import random

import pytest

from tests.abuse import senders
from tests.abuse.bounds import unharmed
from tests.abuse.http2 import connect, ended
from tests.abuse.targets import ROLES, Cluster
from tests.coordinator.process import until

UPLOADS, STREAMS, UPLOAD_BYTES = 60, 7, 1 << 20


def test_greetings_that_do_not_end(cluster: Cluster, rng: random.Random) -> None:
    targets = [target for target in cluster.targets if target.speaks_grpc]
    with unharmed(cluster, 50):
        held = [senders.preface(target.address, rng) for target in targets for _ in range(50)]
        for target in targets:
            target.serves()
        until(lambda: all(ended(connection) for connection in held), seconds=60.0)
        for connection in held:
            connection.close()


def test_a_greeting_byte_by_byte_comes_too_late(cluster: Cluster) -> None:
    held = [connect(cluster.target(role).address) for role in ROLES]
    until(lambda: senders.drip(held) == 0 and all(ended(connection) for connection in held))
    for connection in held:
        connection.close()


@pytest.mark.parametrize("role", [*ROLES, "coordinator"])
def test_requests_that_do_not_end(cluster: Cluster, rng: random.Random, role: str) -> None:
    target = cluster.target(role)
    with unharmed(cluster, 2 * UPLOADS, in_flight=True):
        held = [senders.uploads(target.address, rng, STREAMS, UPLOAD_BYTES) for _ in range(UPLOADS)]
        held += [senders.unended(target.address, rng, STREAMS) for _ in range(UPLOADS)]
        target.serves()
        if role in ROLES:
            until(lambda: all(ended(connection.socket) for connection in held))
        for connection in held:
            connection.close()
