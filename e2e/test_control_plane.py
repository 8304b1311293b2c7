"""Kubernetes itself is away for a while: the data path does not need it."""

from __future__ import annotations

from e2e.harness.kubectl import until
from e2e.harness.world import World

TIMES = 3


def test_control_plane_restarted(world: World) -> None:
    cluster = world.small_cluster()
    with world.clients(cluster) as clients:
        for component in ("kube-apiserver", "etcd"):
            with clients.part(component):
                for _ in range(TIMES):
                    world.machine.restart(component)
                    until(f"{component} again", lambda: world.kubectl("get", "--raw", "/readyz"), 120)
                cluster.ready()
        with clients.part("what Kubernetes is for still works"):
            world.replace_pod(cluster.names("primary", 0)[0])
            cluster.ready()
