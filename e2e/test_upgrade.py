"""Another node image, shard by shard; another operator, which restarts no data pod."""

from __future__ import annotations

from e2e.harness.kubectl import until
from e2e.harness.world import World


def test_rolling_upgrade(world: World) -> None:
    cluster = world.small_cluster()
    with world.clients(cluster):
        cluster.patch({"image": world.images.next_node})
        until("all pods of the next image", lambda: cluster.images() == {world.images.next_node}, 600)
        cluster.ready()


def test_operator_upgrade(world: World) -> None:
    """A rollout of the operator leaves every pod of the cluster as it is."""
    cluster = world.small_cluster()
    before = cluster.uids()
    with world.clients(cluster):
        world.operator.restart()
        cluster.ready()
    assert cluster.uids() == before
