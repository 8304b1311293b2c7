"""A coordinator among others: it waits until it leads, serves as long as it does, and waits again.

While it waits it serves its health and nothing else; nobody finds anything on its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_service

from aidb_coordinator.clock import Clock
from aidb_coordinator.keeping import Keeping
from aidb_coordinator.kubernetes.api import Api, ApiError
from aidb_coordinator.kubernetes.keeping import in_configmaps, labels_of
from aidb_coordinator.kubernetes.leader import LeaderLabel
from aidb_coordinator.leadership.election import Rules
from aidb_coordinator.leadership.elector import Elector
from aidb_coordinator.service.server import LIVENESS, Server, bind, new_server
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import Conflict, StoreBroken

log = logging.getLogger("aidb.coordinator")

# After what did not work, in seconds.
_PAUSE = 1.0


class Candidate:
    """`run` until it is told to stop. `leads` is called with the server each time that it begins to serve."""

    def __init__(self, settings: Settings, api: Api, leads: Callable[[Server], None]) -> None:
        self._settings = settings
        self._api = api
        self._leads = leads
        self._clock = Clock()
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def changed() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self._elector = Elector(
            api,
            settings.namespace,
            f"{settings.cluster_name}-coordinator",
            settings.identity,
            labels_of(settings),
            Rules.of(settings.leader_lease),
            changed,
            self._clock,
        )
        self._label = LeaderLabel(api, settings.namespace, settings.cluster_name, settings.identity)

    async def run(self, stop: asyncio.Event) -> None:
        """Raises StoreError, SettingsError, AddressInUse: then it cannot lead, and others may."""
        async with contextlib.AsyncExitStack() as stack:
            await self._serve_health(stack)
            try:
                await asyncio.to_thread(self._label.drop)
            except ApiError as error:
                log.warning("the pod may look like the leader's: %s", error)
            self._elector.start()
            stack.push_async_callback(asyncio.to_thread, self._elector.stop)
            log.info("standing by as %s", self._settings.identity)
            while not stop.is_set():
                self._changed.clear()
                leadership = self._elector.leadership
                if self._clock.monotonic() < leadership.until:
                    await self._lead(leadership.number, stop)
                else:
                    await _first(self._changed.wait(), stop.wait())

    async def _lead(self, number: int, stop: asyncio.Event) -> None:
        """As long as that leadership lasts."""

        def until() -> float:
            leadership = self._elector.leadership
            return leadership.until if leadership.number == number else float("-inf")

        keeping: Keeping = in_configmaps(self._api, self._settings, until)
        server = Server(replace(self._settings, health_listen=""), keeping)
        try:
            await server.start()
        except (Conflict, StoreBroken) as error:
            log.warning("cannot begin to lead: %s", error)
            await asyncio.sleep(_PAUSE)
            return
        label = asyncio.create_task(self._take_label(), name="leader's label")
        self._leads(server)
        failed = asyncio.create_task(server.wait())
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((failed, asked), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                log.error("serves no more: %s", failed.exception())
        finally:
            for task in (label, failed, asked):
                task.cancel()
            await server.stop(at_once=not stop.is_set())

    async def _take_label(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._label.take)
                return
            except ApiError as error:
                log.warning("the Service does not lead here yet: %s", error)
            await asyncio.sleep(_PAUSE)

    async def _serve_health(self, stack: contextlib.AsyncExitStack) -> None:
        """Raises AddressInUse."""
        if not self._settings.health_listen:
            return
        health = health_service.HealthServicer()
        for service in ("", LIVENESS):
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
        plain = new_server()
        bind(plain, self._settings.health_listen)
        health_pb2_grpc.add_HealthServicer_to_server(health, plain)
        await plain.start()
        stack.push_async_callback(plain.stop, None)


async def _first(*waits: object) -> None:
    """Until one of them is done; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
