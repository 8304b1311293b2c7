"""More connections than there may be: those beyond are closed, those inside are served."""

from __future__ import annotations

import pytest

from tests.abuse.bounds import unharmed
from tests.abuse.conftest import MOST_CONNECTIONS
from tests.abuse.http2 import connect, ended
from tests.abuse.targets import ROLES, Cluster
from tests.coordinator.process import until


@pytest.mark.parametrize("role", ROLES)
def test_a_flood_of_connections(cluster: Cluster, role: str) -> None:
    target = cluster.target(role)
    before = cluster.stats(role).connections
    with unharmed(cluster, MOST_CONNECTIONS):
        held = [connect(target.address) for _ in range(MOST_CONNECTIONS + 200)]
        target.serves()
        until(lambda: cluster.stats(role).connections.refused >= before.refused + 200)
        assert cluster.stats(role).connections.open <= MOST_CONNECTIONS == before.most
        until(lambda: all(ended(connection) for connection in held))
        for connection in held:
            connection.close()
    until(lambda: cluster.stats(role).connections.open <= before.open + 8)


def test_the_coordinator_keeps_its_cluster(cluster: Cluster) -> None:
    target = cluster.target("coordinator")
    with unharmed(cluster, MOST_CONNECTIONS):
        held = [connect(target.address) for _ in range(MOST_CONNECTIONS)]
        for each in cluster.targets:
            each.serves()
        for connection in held:
            connection.close()
