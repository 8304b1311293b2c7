"""Kubernetes itself is away for a while: the data path does not need it."""

from __future__ import annotations

import pytest

from e2e.harness.kubectl import until
from e2e.harness.world import World


@pytest.mark.parametrize("component", ["kube-apiserver", "etcd"])
def test_control_plane_restarted(world: World, component: str) -> None:
    world.scenario.name += f"_{component}"
    cluster = world.small_cluster()
    with world.clients(cluster):
        for _ in range(3):
            world.machine.restart(component)
            until(f"{component} again", lambda: world.kubectl("get", "--raw", "/readyz"), 120)
        cluster.ready()
        # What Kubernetes is for still works.
        world.replace_pod(cluster.names("primary", 0)[0])
        cluster.ready()
