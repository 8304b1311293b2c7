"""Slow and silent clients of `/metrics`: a scrape gets through among them, and threads stay few."""

from __future__ import annotations

import random

from aidb.metrics import MOST
from tests.abuse import senders
from tests.abuse.bounds import Cost, unharmed
from tests.abuse.http2 import connect, ended
from tests.abuse.targets import Cluster
from tests.coordinator.process import until

CONNECTIONS = 100


def test_scrapes_get_through(cluster: Cluster, rng: random.Random) -> None:
    targets = [target for target in cluster.targets if not target.speaks_grpc]
    assert len(targets) == len(cluster.processes)
    with unharmed(cluster, CONNECTIONS) as watch:
        held = []
        for target in targets:
            held += [senders.http(target.address, rng) for _ in range(CONNECTIONS)]
            unread = [connect(target.address) for _ in range(CONNECTIONS)]
            for connection in unread:
                connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            held += unread
            target.serves()
            threads = Cost.of(target.pid).threads - watch.before[target.name.partition("/")[0]].threads
            assert threads <= MOST + 8
        until(lambda: senders.drip(held) >= 0 and all(ended(connection) for connection in held), seconds=60.0)
        for connection in held:
            connection.close()
