"""The running coordinator: server, probes and the clockwork between them, and their orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import resource
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_service
from grpc_reflection.v1alpha import reflection

from aidb import logs
from aidb.metrics import MetricsServer
from aidb.objects.errors import ObjectError
from aidb.security import audit
from aidb.security.server import ServerSecurity
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from aidb_coordinator.archive import TopologyArchive
from aidb_coordinator.audit import AuditLog
from aidb_coordinator.autoscaler import RulesError
from aidb_coordinator.autoscaling.driver import Autoscaler
from aidb_coordinator.autoscaling.memory import MemoryKeeper
from aidb_coordinator.autoscaling.operations import ManagedOperations
from aidb_coordinator.bootstrap import begin_term
from aidb_coordinator.changes import ChangeLog
from aidb_coordinator.clock import Clock
from aidb_coordinator.cluster_backups import ClusterBackups
from aidb_coordinator.control import Control
from aidb_coordinator.dial import Dialer
from aidb_coordinator.events import EventLog
from aidb_coordinator.keeping import Keeping, in_directory
from aidb_coordinator.probes import Prober, probe
from aidb_coordinator.sampler import Sampler
from aidb_coordinator.scaling.backups import Backups
from aidb_coordinator.scaling.manager import Manager
from aidb_coordinator.scaling.provisioner import Provisioner, ProvisionError
from aidb_coordinator.scaling.requests import Limits
from aidb_coordinator.service.auditing import Auditing
from aidb_coordinator.service.coordination import Coordination
from aidb_coordinator.service.departures import Departures
from aidb_coordinator.service.discovery import Discovery
from aidb_coordinator.service.guard import Guard, credentials
from aidb_coordinator.service.metrics import ClusterCollector
from aidb_coordinator.service.operations import scaling_status
from aidb_coordinator.service.scaling_metrics import ScalingCollector
from aidb_coordinator.service.views import ClusterViews, cluster_status
from aidb_coordinator.settings import Settings, SettingsError
from aidb_coordinator.slot_load import By
from aidb_coordinator.store import LeadershipEnded
from aidb_coordinator.store.file import CHANGES, EVENTS

log = logging.getLogger("aidb.coordinator")

Status = TypeVar("Status")

TICK_SECONDS = 0.2
# What the event loop was late by, beyond this, is not held against members.
LATE_SECONDS = 0.5
STATUS_SECONDS = 5.0
# What the coordinator may be made to hold is the product of these, whatever clients send or do not read. Its
# requests are small and its answers as large as a view.
MAX_REQUEST_BYTES = 64 << 10
MAX_RESPONSE_BYTES = 16 << 20
MAX_METADATA_BYTES = 16 << 10
MAX_CONNECTIONS = 2_048
# One connection cannot take the places of all others: so few that it needs hundreds of them.
MAX_REQUESTS_PER_CONNECTION = 32
MAX_CONCURRENT_REQUESTS = 16_384
# Until a connection has said what it is.
GREETING_MS = 10_000
# A peer that answers no ping for this long has vanished.
KEEPALIVE_MS = 10_000
# A client that lives and reads nothing answers pings: it is told to come again, and cut off if it stays.
CONNECTION_AGE_MS = 300_000
CONNECTION_GRACE_MS = 10_000
# True as long as the process answers at all, as of nodes.
LIVENESS = "liveness"


class AddressInUse(Exception):
    """The address cannot be listened on."""


class Server:
    """`start`, then `wait` until it fails or is stopped, then `stop`."""

    def __init__(self, settings: Settings, keeping: Keeping | None = None) -> None:
        """`keeping`: where it keeps what must outlive it; None: in its directory."""
        self._settings = settings
        self._keeping = keeping
        self._grace = settings.grace_seconds
        self._stack = contextlib.AsyncExitStack()
        self._events_added = asyncio.Event()
        self._event_writer = ThreadPoolExecutor(1, "events")
        self.address = ""

    async def start(self) -> None:
        """Serves when it returns. Raises StoreError, SettingsError, AddressInUse; then nothing is left
        open.
        """
        async with contextlib.AsyncExitStack() as stack:
            keeping = self._keeping or in_directory(self._settings)
            store = keeping.store
            stack.callback(store.close)
            settings = self._settings
            security = ServerSecurity.of(settings.tls, settings.tokens, settings.tls_domain, "coordinator")
            wall_ms, added = Clock().wall_ms, self._events_added.set
            # The files of a pod go with it: there its log is kept.
            audit_file = settings.data / audit.FILE if settings.store == "file" else None
            self._audit = AuditLog(audit_file, wall_ms, added)
            server = new_server(security, self._audit)
            # Bound before the term is raised: a start that cannot serve leaves no trace.
            self.address = bind(server, self._settings.listen, security)
            plain = new_server() if self._settings.health_listen else None
            if plain:
                bind(plain, self._settings.health_listen)
            metrics = MetricsServer(self._settings.metrics, security) if self._settings.metrics else None
            if metrics:
                stack.callback(metrics.close)
            stored = await asyncio.to_thread(begin_term, store, self._settings)
            logs.tell(cluster=stored.topology.cluster_uid, term=stored.topology.term)
            events = EventLog(self._settings.data / EVENTS, wall_ms, added=added)
            changes = ChangeLog(self._settings.data / CHANGES, wall_ms, added=added)
            dialer = Dialer(security)
            ask = functools.partial(probe, timeout=self._settings.probe_timeout_ms / 1000, dialer=dialer)
            self._control = Control(store, stored, events, self._settings, ask, changes=changes)
            self._prober = Prober(self._control, dialer)
            self._sampler = Sampler(self._control, dialer)
            self._backups = ClusterBackups(self._control, dialer)
            provisioner = await asyncio.to_thread(_provisioner, keeping, self._control)
            limits = Limits(settings.max_shards, replicas=settings.replicas, by=tuple(By))
            backups, weights = Backups(dialer), self._sampler.load.weights
            self._scaling = await asyncio.to_thread(
                Manager, self._control, keeping.journal, provisioner, backups, limits, weights
            )
            self._control.restores.operation_under_way = self._scaling.under_way
            self._autoscaler = await asyncio.to_thread(
                _autoscaler, self._control, self._sampler, self._scaling, keeping.memory
            )
            stack.callback(self._event_writer.shutdown)
            stack.push_async_callback(self._write_events)
            stack.push_async_callback(self._control.document.close)
            self._add_services(server, metrics)
            if security:
                security.on_change(_token_changes(security, self._audit))
                security.start(_tell)
                stack.callback(security.close)
                if metrics:
                    metrics.register(security.collector())
            archive = self._open_archive(stack, metrics)
            await server.start()
            if plain:
                health_pb2_grpc.add_HealthServicer_to_server(self._health, plain)
                await plain.start()
                stack.push_async_callback(plain.stop, None)
            stack.push_async_callback(self._close_server, server)
            for run in (
                self._ticks(),
                self._probes(),
                self._takeovers(),
                self._autoscaler.run(),
                self._moves(),
                self._operations(),
                self._back_up(),
                self._write_events_as_they_come(),
                self._archive_topologies(archive),
                *([] if keeping.pods is None else [Departures(self._control, keeping.pods).run()]),
            ):
                stack.push_async_callback(_cancel, asyncio.create_task(run))
            self._stack = stack.pop_all()

    async def wait(self) -> None:
        """Raises StoreError when the store is broken."""
        await asyncio.shield(self._control.document.broken)

    async def stop(self, at_once: bool = False) -> None:
        """Refuses new requests, ends watches, gives those in flight the grace time, unless `at_once`."""
        if at_once:
            self._grace = 0.0
        await self._stack.aclose()

    def _add_services(self, server: grpc.aio.Server, metrics: MetricsServer | None) -> None:
        views = ClusterViews(self._control)
        metrics_address = metrics.address if metrics else ""

        def status() -> pb.ClusterStatus:
            return cluster_status(
                self._control,
                self.address,
                metrics_address,
                self._sampler,
                self._autoscaler,
                self._backups,
            )

        if metrics:
            metrics.register(ClusterCollector(_on_loop(status)))
            scaling = functools.partial(scaling_status, self._control, self._scaling)
            metrics.register(ScalingCollector(_on_loop(scaling)))
        self._discovery = Discovery(self._control, views)
        self._health = health_service.HealthServicer()
        rpc.add_DiscoveryServicer_to_server(self._discovery, server)
        rpc.add_CoordinationServicer_to_server(
            Coordination(
                self._control,
                views,
                status,
                self._sampler,
                self._scaling,
                self._autoscaler,
                self._backups,
            ),
            server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [pb.DESCRIPTOR.services_by_name[name].full_name for name in ("Discovery", "Coordination")]
        reflection.enable_server_reflection(
            (*names, "grpc.health.v1.Health", reflection.SERVICE_NAME), server
        )

    async def _close_server(self, server: grpc.aio.Server) -> None:
        await self._health.enter_graceful_shutdown()
        self._discovery.close()
        await server.stop(self._grace)

    async def _ticks(self) -> None:
        for service in ("", LIVENESS):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        late = 0.0
        while True:
            if self._control.clock.monotonic() >= self._control.leads_until():
                self._control.document.end(LeadershipEnded("another coordinator may lead by now"))
            self._control.tick(late)
            begin = self._control.clock.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            late = self._control.clock.monotonic() - begin - TICK_SECONDS
            if late < LATE_SECONDS:
                late = 0.0
            else:
                # Else all members would fail at once on a machine that is busy with other things.
                log.warning("the coordinator did not run for %.1f s: its machine is overloaded", late)

    async def _takeovers(self) -> None:
        """Apart from the ticks: a busy disk must not delay the judgement of health."""
        while True:
            await self._control.takers.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def _moves(self) -> None:
        while True:
            await self._control.movers.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def _operations(self) -> None:
        while True:
            changed = self._control.changed.next
            await self._scaling.tick()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), TICK_SECONDS)

    async def _back_up(self) -> None:
        while True:
            await self._backups.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def _probes(self) -> None:
        try:
            while True:
                changed = self._control.changed.next
                self._prober.sync()
                await changed.wait()
        finally:
            await self._prober.close()

    def _open_archive(
        self, stack: contextlib.AsyncExitStack, metrics: MetricsServer | None
    ) -> TopologyArchive | None:
        """Raises SettingsError."""
        if not self._settings.objects:
            return None
        control = self._control
        try:
            archive = TopologyArchive(
                self._settings.objects, control.topology.cluster_uid, control.clock.wall_ms
            )
        except ObjectError as error:
            raise SettingsError(f"--objects: {error}") from error
        stack.push_async_callback(asyncio.to_thread, archive.close)
        if metrics:
            metrics.register(archive)
        return archive

    async def _archive_topologies(self, archive: TopologyArchive | None) -> None:
        while archive is not None:
            changed = self._control.changed.next
            archive.put(self._control.topology)
            await changed.wait()

    async def _write_events_as_they_come(self) -> None:
        while True:
            await self._events_added.wait()
            self._events_added.clear()
            await self._write_events()

    async def _write_events(self) -> None:
        """And changes of the topology, and the audit log."""
        loop = asyncio.get_running_loop()
        for name, lines in (
            (EVENTS, self._control.events),
            (CHANGES, self._control.changes),
            (audit.FILE, self._audit.lines),
        ):
            batch = None if lines is None else lines.unwritten()
            if lines is None or not batch:
                continue
            try:
                await loop.run_in_executor(self._event_writer, functools.partial(lines.write, batch))  # type: ignore[arg-type]
            except OSError as error:
                log.error("%d lines were not written to %s: %s", len(batch), name, error.strerror)


def _provisioner(keeping: Keeping, control: Control) -> Provisioner:
    """Raises SettingsError."""
    try:
        return keeping.provisioner(control)
    except ProvisionError as error:
        raise SettingsError(str(error)) from error


def _autoscaler(control: Control, sampler: Sampler, manager: Manager, memory: MemoryKeeper) -> Autoscaler:
    """Raises StoreError, SettingsError."""
    # In Kubernetes the operator carries them out: it knows what else has a say in the numbers.
    provisioned = control.settings.provisioner == "local"
    operations = ManagedOperations(manager) if provisioned else None
    try:
        return Autoscaler(control, sampler, memory, operations)
    except RulesError as error:
        raise SettingsError(f"the settings of the autoscaler: {error}") from error


def _on_loop(status: Callable[[], Status]) -> Callable[[], Status]:
    """``status`` for another thread: run where the state lives."""
    loop = asyncio.get_running_loop()

    async def asked() -> Status:
        return status()

    return lambda: asyncio.run_coroutine_threadsafe(asked(), loop).result(STATUS_SECONDS)


def _tell(problem: bool, message: str) -> None:
    log.log(logging.ERROR if problem else logging.INFO, message)


def _token_changes(security: ServerSecurity, log: AuditLog) -> Callable[[], None]:
    """Notes them where the state lives; called by the thread that noticed that files changed."""
    loop, known = asyncio.get_running_loop(), security.tokens

    def changed() -> None:
        nonlocal known
        before, known = known, security.tokens
        loop.call_soon_threadsafe(log.tokens_changed, before, known)

    return changed


def new_server(security: ServerSecurity | None = None, audit_log: AuditLog | None = None) -> grpc.aio.Server:
    interceptors: list[grpc.aio.ServerInterceptor] = []
    if audit_log:
        interceptors.append(Auditing(audit_log))
    if security:
        interceptors.append(Guard(security))
    return grpc.aio.server(
        interceptors=interceptors,
        options=(
            # Two coordinators on one port would share its clients.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.max_allowed_incoming_connections", _room()),
            ("grpc.max_concurrent_streams", MAX_REQUESTS_PER_CONNECTION),
            ("grpc.server_handshake_timeout_ms", GREETING_MS),
            ("grpc.http2.settings_timeout", GREETING_MS),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
            ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
        ),
        maximum_concurrent_rpcs=MAX_CONCURRENT_REQUESTS,
    )


def _room() -> int:
    """So many connections as leave half of the files that may be open to everything else."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


def bind(server: grpc.aio.Server, listen: str, security: ServerSecurity | None = None) -> str:
    host, _, port = listen.rpartition(":")
    try:
        if not 0 <= int(port) < 65_536:
            raise ValueError(f"there is no port {port}")
        # gRPC does not say why it cannot bind, so a socket of our own asks first.
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
        if security:
            return f"{host}:{server.add_secure_port(listen, credentials(security))}"
        return f"{host}:{server.add_insecure_port(listen)}"
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot listen on {listen}: {reason}; name a free HOST:PORT of this machine"
        raise AddressInUse(message) from error


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
