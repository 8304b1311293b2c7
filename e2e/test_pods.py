"""Each kind of pod is deleted, one after the other."""

from __future__ import annotations

import pytest

from e2e.harness.world import World


@pytest.mark.parametrize("component", ["primary", "replica", "router", "coordinator"])
def test_pod_deleted(world: World, component: str) -> None:
    world.scenario.name += f"_{component}"
    cluster = world.small_cluster()
    with world.clients(cluster) as clients:
        for name in cluster.names(component):
            world.kubectl.delete("pod", name, seconds=120)
            cluster.ready()
            clients.flows()


def test_leader_killed(world: World) -> None:
    """The leading coordinator goes without a goodbye; the other one leads."""
    cluster = world.small_cluster()
    with world.clients(cluster) as clients:
        for _ in range(2):
            leader = cluster.leader()
            world.kubectl.delete("pod", leader, "--grace-period=0", "--force", "--wait=false")
            cluster.wait_leader(leader)
            cluster.ready()
            clients.flows()
