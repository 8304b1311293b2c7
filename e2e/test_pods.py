"""Each kind of pod is deleted, one after the other."""

from __future__ import annotations

from e2e.harness.world import World

KINDS = ("replica", "router", "coordinator", "primary")


def test_pods_deleted(world: World) -> None:
    cluster = world.small_cluster()
    with world.clients(cluster) as clients:
        for component in KINDS:
            for name in cluster.names(component):
                with clients.part(name if component == "primary" else component):
                    world.kubectl.delete("pod", name, seconds=120)
                    cluster.ready()


def test_leader_killed(world: World) -> None:
    """The leading coordinator goes without a goodbye; the other one leads."""
    cluster = world.small_cluster()
    with world.clients(cluster) as clients:
        for number in range(2):
            leader = cluster.leader()
            with clients.part(f"leader {number}"):
                world.kubectl.delete("pod", leader, "--grace-period=0", "--force", "--wait=false")
                cluster.wait_leader(leader)
                cluster.ready()
