"""What a connection asks beyond its streams waits with its client, or is refused at no cost."""

from __future__ import annotations

import pytest

from tests.abuse.bounds import unharmed
from tests.abuse.http2 import RST_STREAM, Connection
from tests.abuse.targets import ROLES, Cluster

# Of a connection (node/src/serve/stack.rs).
STREAMS, BEYOND = 128, 10
REFUSED_STREAM = (7).to_bytes(4, "big")


@pytest.mark.parametrize("role", ROLES)
def test_a_connection_has_so_many_streams_at_a_time(cluster: Cluster, role: str) -> None:
    target = cluster.target(role)
    with unharmed(cluster, 1, in_flight=True):
        connection = Connection(target.address)
        streams = [connection.open("/aidb.v1.Storage/Get") for _ in range(STREAMS + BEYOND)]
        refused: list[int] = []
        for kind, _, stream, payload in connection.frames():
            if kind == RST_STREAM:
                assert payload == REFUSED_STREAM
                refused.append(stream)
            if len(refused) == BEYOND:
                break
        assert refused == streams[STREAMS:]
        target.serves()
        connection.close()
