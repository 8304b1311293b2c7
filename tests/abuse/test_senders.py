"""Who begins and does not go on costs what has come, and loses the connection."""

from __future__ import annotations

import random

from tests.abuse import senders
from tests.abuse.bounds import unharmed
from tests.abuse.http2 import Connection, connect, ended
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


def test_requests_that_do_not_end(cluster: Cluster, rng: random.Random) -> None:
    targets = [target for target in cluster.targets if target.speaks_grpc]

    def overdue() -> dict[str, int]:
        return {role: cluster.stats(role).connections.overdue for role in ROLES}

    before = overdue()
    with unharmed(cluster, 2 * UPLOADS, in_flight=True):
        held = [
            start(target.address, rng)
            for target in targets
            for start in (_uploads, _unended)
            for _ in range(UPLOADS)
        ]
        for target in targets:
            target.serves()
        until(lambda: all(now > before[role] for role, now in overdue().items()))
        for connection in held:
            connection.close()


def _uploads(address: str, rng: random.Random) -> Connection:
    return senders.uploads(address, rng, STREAMS, UPLOAD_BYTES)


def _unended(address: str, rng: random.Random) -> Connection:
    return senders.unended(address, rng, STREAMS)
