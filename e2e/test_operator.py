"""The operator is killed at random moments while it has something to do."""

from __future__ import annotations

import os
import random
import time

from e2e.harness.world import World

KILLS = 20
MOST_SECONDS = 6.0


def test_operator_killed(world: World) -> None:
    seed = int(os.environ.get("SEED", "1"))
    rng = random.Random(seed)
    world.scenario.note(seed=seed, kills=KILLS)
    cluster = world.small_cluster()
    with world.clients(cluster):
        for number in range(KILLS):
            if number % 4 == 0:
                cluster.patch({"replicas": 1 + number // 4 % 2, "shards": 2 + number // 8 % 2})
            time.sleep(rng.uniform(0, MOST_SECONDS))
            world.operator.kill()
        cluster.patch({"replicas": 1, "shards": 2})
        world.operator.wait()
        cluster.wait_shards(2)
        cluster.wait_replicas(1)
        cluster.ready()
