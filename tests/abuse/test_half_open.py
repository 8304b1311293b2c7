"""Peers that vanish without a word: nothing of theirs stays.

They are on a cable that is cut, so that no FIN and no RST comes and nothing answers any more.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse import readers, senders
from tests.abuse.bounds import unharmed
from tests.abuse.http2 import Connection, connect
from tests.abuse.namespace import Namespace
from tests.abuse.targets import Cluster, Target

HELD = 10
# Two rounds of pings, the patience and the clean-up.
SECONDS = 90.0


@pytest.fixture
def far() -> Iterator[Namespace]:
    """A host that can be cut off."""
    if missing := Namespace.why_not():
        pytest.skip(f"no network namespace can be made here: {missing}")
    with Namespace() as namespace:
        yield namespace


def _hold(target: Target, rng: random.Random) -> list[socket.socket]:
    """Silent connections, some past the preface, in the middle of requests, or with answers on the way."""
    silent = [connect(target.address) for _ in range(HELD)]
    if not target.speaks_grpc:
        return silent
    calls = [Connection(target.address) for _ in range(HELD)]
    calls += [senders.uploads(target.address, rng, 2, 10_000) for _ in range(HELD)]
    calls += [readers.unread(target.address, ask, 1, 0) for ask in readers.OF[target.name]]
    return silent + [call.socket for call in calls]


def test_nothing_is_left_of_peers_that_vanish(tmp_path: Path, rng: random.Random, far: Namespace) -> None:
    cluster = Cluster(tmp_path, host=far.here)
    try:
        with unharmed(cluster, 4 * HELD):
            held = far.run(lambda: [each for target in cluster.targets for each in _hold(target, rng)])
            far.cut()
            for target in cluster.targets:
                target.serves()
        # Only now, when the servers have noticed by themselves.
        for connection in held:
            connection.close()
    finally:
        cluster.close()
