"""Replicas and shards come and go by a change of the spec."""

from __future__ import annotations

from e2e.harness.world import World


def test_replicas(world: World) -> None:
    cluster = world.small_cluster(replicas=2)
    with world.clients(cluster) as clients:
        for wanted in (4, 2):
            with clients.part(f"{wanted} replicas"):
                cluster.patch({"replicas": wanted})
                cluster.wait_replicas(wanted)
                cluster.ready()


def test_shards(world: World) -> None:
    cluster = world.small_cluster()
    with world.clients(cluster) as clients:
        for wanted in (3, 2):
            with clients.part(f"{wanted} shards"):
                cluster.patch({"shards": wanted})
                cluster.wait_shards(wanted)
                cluster.ready()
