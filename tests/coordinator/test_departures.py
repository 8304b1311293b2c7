"""Members whose pods are gone are forgotten, and pods are asked for only while somebody is away."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from aidb_coordinator.service import departures
from aidb_coordinator.service.departures import Departures

from tests.coordinator.test_control import Cluster
from tests.coordinator.values import primary, replica


async def test_who_is_away_is_forgotten_when_its_pod_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(departures, "LONGEST_PAUSE", 0.004)
    cluster = Cluster(tmp_path)
    asked = 0
    there = {replica().name}

    def pods() -> frozenset[str]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError("the API server is away")
        return frozenset(there)

    await cluster.register(primary())
    await cluster.register(replica())
    cluster.beat(primary(), epoch=1)
    cluster.beat(replica())
    running = asyncio.create_task(Departures(cluster.control, pods).run())
    try:
        await asyncio.sleep(0.05)
        assert asked == 0, "nobody is away"
        cluster.control.leave(replica().name, "p")
        while asked < 4:
            await asyncio.sleep(0.001)
        assert replica().name in cluster.control.topology.members, "its pod is there"
        there.clear()
        while replica().name in cluster.control.topology.members:
            await asyncio.sleep(0.001)
        cluster.control.leave(primary().name, "p")
        await asyncio.sleep(0.02)
        assert primary().name in cluster.control.topology.members, "primaries stay"
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        cluster.store.close()
        await cluster.control.document.close()
