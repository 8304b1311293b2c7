"""Replicas by a HorizontalPodAutoscaler; replicas and shards by the operator's own autoscaler."""

from __future__ import annotations

from e2e.harness.cluster import Cluster
from e2e.harness.kubectl import until
from e2e.harness.world import World

_BUSY = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}


def test_hpa(world: World) -> None:
    """It scales one ShardGroup; the cluster's own number then rules the others alone."""
    cluster = world.small_cluster(replica=_BUSY)
    with world.clients(cluster) as clients:
        target = {"apiVersion": "aidb.io/v1alpha1", "kind": "ShardGroup", "name": f"{cluster.name}-0"}
        resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 20}}
        world.kubectl.apply(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "replicas"},
                "spec": {
                    "scaleTargetRef": target,
                    "minReplicas": 1,
                    "maxReplicas": 2,
                    "metrics": [{"type": "Resource", "resource": resource}],
                },
            }
        )
        until("two replicas of shard 0", lambda: cluster.replicas_ready(0) == 2, 300)
        clients.flows()
        # A turn of the operator leaves the number to its owner.
        cluster.patch({"replicas": 1, "backup": {"keep": 25}})
        cluster.ready()
        assert (cluster.replicas_ready(0), cluster.replicas_ready(1)) == (2, 1)


def test_autoscaler(world: World) -> None:
    """Limits so low that the clients' load, ten times the usual, asks for one more of each."""
    cluster = world.small_cluster(
        replica=_BUSY,
        autoscaling={
            "intervalSeconds": 5,
            "replicas": {
                "enabled": True,
                "max": 2,
                "cpu": {"low": 0, "target": 1, "high": 1},
                "readMilliseconds": {"enabled": False},
                "upCooldownSeconds": 5,
            },
            "shards": {
                "enabled": True,
                "min": 2,
                "max": 3,
                "writes": {"low": 0, "target": 1, "high": 2},
                "cpu": {"enabled": False},
                "bytes": {"enabled": False},
                "upWindowSeconds": 5,
                "upCooldownSeconds": 5,
            },
        },
    )
    with world.clients(cluster, "--every", "0.004") as clients:
        cluster.wait_shards(3)
        until("more replicas", lambda: _replicas(cluster) > len(cluster.shard_groups()), 300)
        clients.flows()


def _replicas(cluster: Cluster) -> int:
    return sum(cluster.replicas_ready(int(group["spec"]["shard"])) for group in cluster.shard_groups())
