"""A node is drained, loses its power, or is cut off."""

from __future__ import annotations

import time

from e2e.harness.cluster import Cluster
from e2e.harness.kubectl import is_ready, until
from e2e.harness.world import World

_FAR_SESSIONS = 100
# Longer than the lease (10 s) and the takeover's grace (spec below).
_CUT_SECONDS = 60.0
_QUICK_TAKEOVER = {"enabled": True, "graceSeconds": 10}


def test_node_drained(world: World) -> None:
    """The drain ends, and loses nothing: primaries are handed over while the eviction waits."""
    cluster = world.small_cluster()
    node = _unsafe_node(world, cluster)
    with world.clients(cluster) as clients:
        begun = time.monotonic()
        try:
            world.kubectl(
                "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s", seconds=310
            )
            world.scenario.note(drain_s=round(time.monotonic() - begun, 1))
            cluster.ready()
            assert node not in {pod["spec"]["nodeName"] for pod in cluster.pods("primary")}
            clients.flows()
        finally:
            world.kubectl("uncordon", node)
        cluster.ready()


def test_node_powered_off(world: World) -> None:
    """Its primaries come back elsewhere, from the object store, with every acknowledged write."""
    cluster = world.small_cluster(durability="archived", takeover=_QUICK_TAKEOVER)
    node = _unsafe_node(world, cluster)
    shards = [shard for shard in (0, 1) if cluster.node_of("primary", shard) == node]
    with world.clients(cluster) as clients:
        begun = time.monotonic()
        world.machine.power_off(node)
        try:
            _wait_elsewhere(cluster, shards, node)
            world.scenario.note(recovered_s=round(time.monotonic() - begun, 1))
            clients.flows()
        finally:
            world.machine.power_on(node)
        world.machine.wait_nodes()
        cluster.ready()


def test_node_partitioned(world: World) -> None:
    """The old primary and clients beside it go on behind the cut: nothing that it took after the next one
    served was acknowledged, and the histories of both sides are one.
    """
    cluster = world.small_cluster(durability="archived", takeover=_QUICK_TAKEOVER)
    node = _unsafe_node(world, cluster)
    shards = [shard for shard in (0, 1) if cluster.node_of("primary", shard) == node]
    far = world.load(cluster, "--first", str(_FAR_SESSIONS), "--seed", "2", name="load-far", node=node)
    near = world.load(cluster, name="load-near")
    with far as behind, near as clients:
        world.machine.cut(node)
        try:
            _wait_elsewhere(cluster, shards, node)
            clients.flows()
            time.sleep(_CUT_SECONDS)
            clients.flows()
        finally:
            world.machine.heal(node)
        world.machine.wait_nodes()
        cluster.ready()
        clients.flows()
        near_side = clients.stop()
        world.scenario.note(before_the_cut=near_side.pauses())
        # One machine's clock: what both sides did is one history.
        world.scenario.check(near_side.merged(behind.stop()))


def _unsafe_node(world: World, cluster: Cluster) -> str:
    """One with a primary, that no client is on."""
    for shard in (0, 1):
        node = cluster.node_of("primary", shard)
        if node != world.safe_node:
            return node
    raise AssertionError(f"both primaries are on {node}: they are to be spread")


def _wait_elsewhere(cluster: Cluster, shards: list[int], node: str) -> None:
    """Until each has a Ready primary on another node."""

    def there() -> bool:
        return all(
            any(is_ready(pod) and pod["spec"]["nodeName"] != node for pod in cluster.pods("primary", shard))
            for shard in shards
        )

    until(f"shards {shards} off {node}", there, 300)
