"""The shortest way through: a cluster comes up, takes writes, loses a pod and goes on, and goes."""

from __future__ import annotations

import time

from e2e.harness.kubectl import until
from e2e.harness.world import World


def test_smoke(world: World) -> None:
    begun = time.monotonic()
    cluster = world.small_cluster()
    world.scenario.note(ready_s=round(time.monotonic() - begun, 1))
    with world.clients(cluster):
        world.replace_pod(cluster.names("primary", 0)[0])
    world.kubectl.delete("aidbcluster", cluster.name)
    selector = f"aidb.io/cluster={cluster.name}"
    until("no pods", lambda: not world.kubectl.items("pods", selector), 120)
