"""As in the README: the chart, ten lines of YAML, and a cluster that serves."""

from __future__ import annotations

import json
import time
from pathlib import Path

from e2e.harness import forward
from e2e.harness.cluster import Cluster
from e2e.harness.machine import ROOT
from e2e.harness.world import World

EXAMPLE = ROOT / "manifests" / "aidbcluster.yaml"


def test_install(world: World, tmp_path: Path) -> None:
    world.kubectl("apply", "-f", str(EXAMPLE))
    name = json.loads(world.kubectl("get", "-f", str(EXAMPLE), "-o", "json"))["metadata"]["name"]
    cluster = Cluster(world.kubectl, name)
    begun = time.monotonic()
    cluster.ready()
    world.scenario.note(ready_s=round(time.monotonic() - begun, 1))
    print(world.kubectl("get", "aidb,shardgroups"))
    with world.clients(cluster):
        with forward.client(cluster, tmp_path) as client:
            client.put(b"from outside", b"through a router")
            assert client.get(b"from outside") == b"through a router"
        print(world.operator.test(cluster))
