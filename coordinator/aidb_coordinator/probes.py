"""Active health probes of the members: a gRPC health check of each, every period."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from aidb_coordinator.control import Control
from aidb_coordinator.dial import Dialer
from aidb_coordinator.health import MemberState, Probe

log = logging.getLogger("aidb.coordinator")

# All probes together; with more members the period becomes longer, since heartbeats tell as well.
MAX_PROBES_PER_SECOND = 200
_OPTIONS = (
    # A restarted member is found again within a period: gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Probes must see what a new client sees, not another client's connection.
    ("grpc.use_local_subchannel_pool", 1),
)


async def probe(
    address: str, timeout: float, dialer: Dialer, channel: grpc.aio.Channel | None = None
) -> Probe:
    """Asks the program at `address` for its health, within `timeout` seconds. Programs without that service
    count as serving.
    """
    if channel is None:
        async with dialer.channel(address, _OPTIONS) as own:
            return await probe(address, timeout, dialer, own)
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=timeout
        )
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
            return Probe.SERVING
        if error.code() is grpc.StatusCode.UNAVAILABLE and await _is_refused(address, timeout):
            return Probe.REFUSED
        return Probe.SILENT
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return Probe.SERVING if serving else Probe.NOT_SERVING


async def _is_refused(address: str, timeout: float) -> bool:
    """gRPC says UNAVAILABLE for much, and repeats an old failure while it waits to reconnect; the socket's
    errno is certain.
    """
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), timeout)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return False


class Prober:
    """One task for each member that has not left; `sync` after every change of the members."""

    def __init__(self, control: Control, dialer: Dialer) -> None:
        self._control = control
        self._dialer = dialer
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def sync(self) -> None:
        roster = self._control.roster
        wanted = {
            (member.name, member.address)
            for member in self._control.topology.members.values()
            if roster.verdict(member.name).state is not MemberState.LEFT
        }
        for gone in self._tasks.keys() - wanted:
            self._tasks.pop(gone).cancel()
        for name, address in wanted - self._tasks.keys():
            self._tasks[name, address] = asyncio.create_task(
                self._follow(name, address), name=f"probe {name}"
            )

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str, address: str) -> None:
        while True:
            material = self._dialer.material
            async with self._dialer.channel(address, _OPTIONS) as channel:
                while material is self._dialer.material:
                    await self._probe(name, address, channel)

    async def _probe(self, name: str, address: str, channel: grpc.aio.Channel) -> None:
        settings = self._control.settings
        seen = self._control.roster.observation(name)
        if seen is not None:
            process_id = seen.process_id
            result = await probe(address, settings.probe_timeout_ms / 1000, self._dialer, channel)
            self._control.probed(name, process_id, result)
        await asyncio.sleep(max(settings.probe_period_ms / 1000, len(self._tasks) / MAX_PROBES_PER_SECOND))
