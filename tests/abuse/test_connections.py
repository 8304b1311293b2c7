"""More connections than there may be: those beyond are closed, those inside are served."""

from __future__ import annotations

import grpc

from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc as rpc
from tests.abuse.bounds import unharmed
from tests.abuse.conftest import MOST_CONNECTIONS
from tests.abuse.http2 import Connection, connect, ended
from tests.abuse.targets import KEY, POLITE_SECONDS, ROLES, Cluster
from tests.coordinator.process import until

BEYOND = 200


def test_a_flood_of_connections(cluster: Cluster) -> None:
    before = {role: cluster.stats(role).connections for role in ROLES}
    with unharmed(cluster, MOST_CONNECTIONS):
        held = [
            connect(cluster.target(role).address) for _ in range(MOST_CONNECTIONS + BEYOND) for role in ROLES
        ]
        for target in cluster.targets:
            target.serves()

        def refused() -> bool:
            now = {role: cluster.stats(role).connections.refused for role in ROLES}
            return all(now[role] >= before[role].refused + BEYOND for role in ROLES)

        until(refused)
        for role in ROLES:
            assert cluster.stats(role).connections.open <= MOST_CONNECTIONS == before[role].most
        until(lambda: all(ended(connection) for connection in held), seconds=60.0)
        for connection in held:
            connection.close()

    def back() -> bool:
        return all(cluster.stats(role).connections.open <= before[role].open + 8 for role in ROLES)

    until(back)


def test_who_says_nothing_keeps_nobody_out(cluster: Cluster) -> None:
    """Not by places that nothing ends: a connection that has greeted may be silent for ever."""
    address = cluster.target("primary").address
    with unharmed(cluster, MOST_CONNECTIONS):
        held = [Connection(address) for _ in range(MOST_CONNECTIONS)]
        until(lambda: cluster.stats("primary").connections.open == MOST_CONNECTIONS)
        before = cluster.stats("primary").connections
        # gRPC would share a connection that is there.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options=options) as newcomer:
            answer = rpc.StorageStub(newcomer).Get(pb.GetRequest(key=KEY), timeout=POLITE_SECONDS)
            now = cluster.stats("primary").connections
        assert answer.value == b"yes" and before.open == now.open == now.most
        assert now.refused > before.refused
        for connection in held:
            connection.close()


def test_the_coordinator_keeps_its_cluster(cluster: Cluster) -> None:
    target = cluster.target("coordinator")
    with unharmed(cluster, MOST_CONNECTIONS):
        held = [connect(target.address) for _ in range(MOST_CONNECTIONS)]
        for each in cluster.targets:
            each.serves()
        for connection in held:
            connection.close()
