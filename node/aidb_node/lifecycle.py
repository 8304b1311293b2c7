"""A program from its start to its end. `registration` decides; here it is carried out."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import uuid
from collections.abc import Iterable

from aidb import errors, logs
from aidb.metrics import MetricsAddressError, MetricsServer
from aidb.objects.errors import ObjectError
from aidb.security import audit
from aidb.security.server import SecurityRefused, ServerSecurity
from aidb.security.tokens import Token
from aidb.v1 import storage_pb2
from aidb_node import identity, registration
from aidb_node._native import Event, Grant, Server
from aidb_node.backup.second_copy import SecondCopy
from aidb_node.config import Common, Keys, Settings, TokenRow
from aidb_node.failure import HandedOver, StartRefused
from aidb_node.logs import Log
from aidb_node.metrics import NodeCollector
from aidb_node.metrics.disk import DiskCollector
from aidb_node.moves.figures import MoveCollector
from aidb_node.moves.mover import Mover
from aidb_node.moves.starting import mover_of
from aidb_node.observing import Observing, exporting
from aidb_node.stop import Stop
from aidb_node.tail_set import Policy, TailSetKeeper
from aidb_node.takeover.asking import Stopped
from aidb_node.takeover.become import Taken, become, wait_for

# HANDED_OVER, and no other end, says that the object store has all that the directory has (D6): who
# provisions may remove it.
OK, FAILED, REFUSED, HANDED_OVER = 0, 1, 2, 3
PROGRAM = "aidb-node"

# The native side is asked this often, in seconds, so that signals are seen.
_WAKE = 0.1
_REGISTER_TIMEOUT = 5.0
# A hand-over: how long the rest of the log may take to be archived, and how long one that has handed over
# stays to tell clients to ask elsewhere.
_RELEASE_SECONDS = 10.0
_SUCCESSOR_SECONDS = 60.0
# Failures to reach the coordinator are logged at the first and then at each of so many attempts.
_LOG_EACH = 10


def run(settings: Settings) -> int:
    """Runs the program until its end; the exit code."""
    shard = None if settings.role == "router" else settings.shard
    member = {"member": settings.name, "role": settings.role, "shard": shard}
    logs.set_up(PROGRAM, settings.log_format, settings.log_level, **member)
    log = Log()
    stop = Stop()
    stop.install()
    try:
        if settings.role == "primary":
            _require_not_handed_over(settings)
        # An empty directory may have to be restored first (D9).
        empty = bool(settings.objects) and not (settings.data / identity.STORE).exists()
        taken = become(settings, log, stop) if settings.incarnation > 1 or empty else None
        program = _Program(settings, log, stop, taken)
    except Stopped:
        return OK
    except HandedOver as error:
        log.info("does not start", reason=error)
        return HANDED_OVER
    except (StartRefused, MetricsAddressError, SecurityRefused, errors.AidbError) as error:
        log.error("cannot start", reason=error)
        return REFUSED
    try:
        return program.serve()
    finally:
        program.close()


def _require_not_handed_over(settings: Settings) -> None:
    """Raises HandedOver, StartRefused."""
    epoch = identity.claim(settings.data, settings.shard).handed_over
    if epoch:
        raise HandedOver(
            f"{settings.data} handed shard {settings.shard} over in epoch {epoch}: the object store has "
            "all of it, the directory can go"
        )


class _Program:
    def __init__(self, settings: Settings, log: Log, stop: Stop, taken: Taken | None) -> None:
        self._taken = taken
        self._handed_over = 0
        self._handed_over_at = 0.0
        self._settings = settings
        self._log = log
        self._stop = stop
        self._grace = settings.grace_seconds
        self._identity: identity.Identity | None = None
        self._cluster_uid = ""
        if settings.role == "primary":
            self._identity = identity.claim(settings.data, settings.shard)
            self._cluster_uid = self._identity.cluster_uid
        self._superseded = ""
        self._process_id = uuid.uuid4().hex
        self._security = ServerSecurity.of(settings.tls, settings.tokens, settings.tls_domain, "node")
        self._metrics = MetricsServer(settings.metrics, self._security) if settings.metrics else None
        address = reachable(self._metrics.address, settings.advertise) if self._metrics else ""
        spans = exporting(settings.name, settings.role)
        self._server = _server(
            settings, self._identity, address, self._security, self._process_id, traces=spans is not None
        )
        self._observing = Observing(self._server, spans)
        if self._metrics:
            shard = "" if settings.role == "router" else str(settings.shard)
            self._metrics.register(NodeCollector(self._server.stats, shard))
        self._second_copy = self._make_second_copy()
        self._tail_set: TailSetKeeper | None = None
        if self._second_copy is not None:
            policy = Policy(settings.tail_members, settings.tail_same_node)
            self._tail_set = TailSetKeeper(self._server, policy, log)
            if self._metrics:
                self._metrics.register(self._second_copy.collector())
        self._mover: Mover | None = None
        if settings.role == "primary":
            self._mover = mover_of(settings, self._server, self._process_id, log)
            if self._metrics:
                self._metrics.register(MoveCollector(self._mover.figures, settings.shard))
                self._metrics.register(DiskCollector(settings.data, settings.shard))
        if self._security:
            self._watch(self._security)
        log.info("bound", role=settings.role, address=self._server.address)

    def serve(self) -> int:
        """Joins, announces that it serves, and follows events until the end."""
        refused = self._join()
        if refused:
            self._log.error("cannot join the cluster", reason=refused)
            return REFUSED
        if not self._stop.asked.is_set():
            self._announce()
        while not self._stop.asked.is_set():
            event = self._server.wait(_WAKE)
            if self._handed_over and time.monotonic() > self._handed_over_at + _SUCCESSOR_SECONDS:
                self._log.warning("the successor has not been published yet; there is no reason to stay")
                return self._end
            if event is None:
                continue
            if event.kind == "register_again" and self._handed_over:
                self._log.info("the successor serves", epoch=self._handed_over)
                return self._end
            if event.kind == "hand_over":
                if not self._handed_over:
                    self._hand_over(int(event.text))
            elif event.kind == "register_again":
                self._log.warning("the coordinator does not know this process; registering anew")
                refused = self._join()
                if refused:
                    self._log.error("cannot join the cluster again", reason=refused)
                    return FAILED
            elif event.kind == "drain":
                self._log.info("drain asked for")
                self._grace = event.grace or self._grace
                self._stop.asked.set()
            elif event.kind == "backup":
                if self._second_copy is not None:
                    self._second_copy.backup(event.text)
            elif event.kind == "act":
                self._audit(event)
            elif event.kind == "notice":
                self._log.warning(event.text)
            else:
                self._log.error("the server failed", reason=event.text)
                return FAILED
        if self._superseded:
            self._log.error("another primary has taken over", reason=self._superseded)
            return FAILED
        return self._end

    def close(self) -> None:
        """Stops within the grace."""
        grace = 0.0 if self._stop.at_once else self._grace
        self._log.info("stopping", grace_seconds=grace)
        began = time.monotonic()
        if self._mover is not None:
            self._mover.close()
        if self._second_copy is not None and not self._superseded and not self._handed_over:
            # Nobody comes in any more; who waits for the archive gets his answer (D4); then the rest goes.
            self._server.quiesce(grace / 2)
            self._second_copy.catch_up(grace / 2)
        if self._tail_set is not None:
            self._tail_set.close()
        if self._second_copy is not None:
            self._second_copy.close()
        drained = self._server.stop(max(0.0, began + grace - time.monotonic()))
        self._observing.close()
        if self._security:
            self._security.close()
        if self._metrics:
            self._metrics.close()
        self._log.info("stopped", drained=drained)

    def _hand_over(self, epoch: int) -> None:
        """D6, for the one that goes: stop, archive the tail, seal oneself; the successor sees the seal.

        Whatever goes wrong, nobody is let in again: the successor waits for a while, then seals for itself.
        """
        began = time.monotonic()
        self._handed_over, self._handed_over_at = epoch, began
        if self._second_copy is None or self._identity is None:
            self._log.error("cannot hand over without an object store")
            return
        drained = self._server.quiesce(_RELEASE_SECONDS)
        while drained and not self._all_synced() and time.monotonic() < began + _RELEASE_SECONDS:
            time.sleep(_WAKE / 10)
        if not drained or not self._all_synced():
            self._log.error("requests do not end: the successor has to wait for the lease", epoch=epoch)
            return
        if not self._second_copy.release(epoch, _RELEASE_SECONDS):
            self._log.error("the rest of the log is not archived in time", epoch=epoch)
            return
        self._identity = identity.update(
            self._settings.data,
            self._identity,
            cluster_uid=self._identity.cluster_uid,
            pending_epoch=self._identity.pending_epoch,
            handed_over=epoch,
        )
        self._log.info("handed over", epoch=epoch, seconds=f"{time.monotonic() - began:.3f}")

    @property
    def _end(self) -> int:
        """The exit code of an end in order. A directory says that it handed over only when its log's tail is
        archived and sealed.
        """
        return HANDED_OVER if self._identity is not None and self._identity.handed_over else OK

    def _all_synced(self) -> bool:
        """With ``--sync interval`` or ``none`` the log follows the commits (V4)."""
        engine = storage_pb2.GetStatsResponse.FromString(self._server.stats()).engine
        return engine.synced_lsn >= engine.visible_lsn

    def _make_second_copy(self) -> SecondCopy | None:
        """Raises StartRefused."""
        settings = self._settings
        if self._identity is None or not settings.objects:
            return None
        try:
            return SecondCopy(
                settings.backup,
                self._server,
                settings.data,
                shard=settings.shard,
                disk_id=self._identity.disk_id,
                owner=settings.name,
                log=self._log,
                superseded=self._end_superseded,
            )
        except ObjectError as error:
            raise StartRefused(f"--objects: {error}") from error

    def _audit(self, event: Event) -> None:
        """Into the program's log, wherever that is kept: not every node has a disk."""
        act, asked, problem = event.act
        made = audit.Act(
            int(time.time() * 1000),
            self._settings.name,
            event.text,
            act,
            {"asked": asked} if asked else {},
            f"failed: {problem}" if problem else audit.DONE,
        )
        print(audit.line(made), file=sys.stderr, flush=True)

    def _end_superseded(self, why: str) -> None:
        """Called by a thread of the second copy."""
        self._superseded = why
        self._stop.at_once = True
        self._stop.asked.set()

    def _watch(self, security: ServerSecurity) -> None:
        """Changed certificates and tokens go to the native side, which keeps what it cannot replace."""

        def changed() -> None:
            self._server.set_tokens(native_tokens(security.tokens))
            material = security.material
            self._server.renew(ca=material.ca, certificate=material.certificate, key=material.key)

        def tell(problem: bool, message: str) -> None:
            (self._log.error if problem else self._log.info)(message)

        security.on_change(changed)
        security.start(tell)
        if self._metrics:
            self._metrics.register(security.collector())

    def _join(self) -> str:
        """Registers, however long that takes, and serves by the grant. Why it was refused, or nothing."""
        attempt = 0
        if self._taken is not None:
            wait_for(self._taken.turn, self._stop)
            self._taken = None
        while not self._stop.asked.is_set():
            try:
                return self._register()
            except errors.AidbError as error:
                decision = registration.after_failure(error, attempt)
                if isinstance(decision, registration.GiveUp):
                    return decision.message
                if attempt % _LOG_EACH == 0:
                    self._log.warning("not registered yet", attempt=attempt + 1, reason=error)
                attempt += 1
                self._stop.asked.wait(decision.pause * random.uniform(0.5, 1.0))
        return ""

    def _register(self) -> str:
        """One attempt (D10): the epoch to ask for is on the disk before it is asked for. Raises AidbError."""
        request = registration.Request(cluster_uid=self._cluster_uid)
        if self._identity is not None:
            request = registration.request_of(self._identity, *self._server.disk_position())
            self._store_identity(self._identity.cluster_uid, request.pending_epoch)
        grant = self._server.register(
            cluster_uid=request.cluster_uid,
            disk_epoch=request.disk_epoch,
            pending_epoch=request.pending_epoch,
            last_lsn=request.last_lsn,
            timeout=_REGISTER_TIMEOUT,
        )
        problem = registration.check_grant(request, grant.cluster_uid, grant.epoch)
        if problem:
            return problem
        self._begin(grant, request)
        return ""

    def _begin(self, grant: Grant, request: registration.Request) -> None:
        self._cluster_uid = grant.cluster_uid
        if self._identity is not None:
            self._store_identity(grant.cluster_uid, request.pending_epoch)
        logs.tell(cluster=grant.cluster_uid, epoch=grant.epoch or None)
        self._server.begin(grant)
        self._log.info("registered", epoch=grant.epoch, term=grant.term, cluster=grant.cluster_uid)
        if self._second_copy is not None:
            self._second_copy.begin(grant.cluster_uid, grant.epoch, int(grant.lease_seconds * 1000))
        if self._tail_set is not None:
            self._tail_set.start()
        if self._mover is not None:
            self._mover.begin(grant.epoch)

    def _store_identity(self, cluster_uid: str, pending_epoch: int) -> None:
        if self._identity is None:
            return
        try:
            self._identity = identity.update(
                self._settings.data, self._identity, cluster_uid=cluster_uid, pending_epoch=pending_epoch
            )
        except OSError as error:
            raise errors.DiskFull(
                f"cannot write {self._settings.data / identity.FILE}: {error.strerror or error}"
            ) from error

    def _announce(self) -> None:
        """The one line on stdout that starters wait for."""
        ready = {
            "ready": True,
            "role": self._settings.role,
            "name": self._settings.name,
            "address": self._server.address,
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)


def reachable(address: str, advertise: str) -> str:
    """Where others find what listens on `address`: every address of a machine is none to go to."""
    host, _, port = address.rpartition(":")
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not listened on
    if host.strip("[]") not in everywhere or not advertise:
        return address
    return f"{advertise.rpartition(':')[0]}:{port}"


def native_tokens(tokens: Iterable[Token]) -> list[TokenRow]:
    return [
        (one.name, one.digest, one.access, one.expires_ms, list(one.keyspaces), list(one.prefixes))
        for one in tokens
    ]


def _keys(security: ServerSecurity | None) -> Keys | None:
    if security is None:
        return None
    material = security.material
    return Keys(
        ca=material.ca,
        certificate=material.certificate,
        key=material.key,
        domain=security.domain,
        tokens=native_tokens(security.tokens),
    )


def _server(
    settings: Settings,
    disk: identity.Identity | None,
    metrics: str,
    security: ServerSecurity | None,
    process_id: str,
    *,
    traces: bool,
) -> Server:
    common = Common(
        name=settings.name,
        listen=settings.listen,
        advertise=settings.advertise,
        metrics=metrics,
        coordinator=settings.coordinator,
        threads=settings.threads,
        connections=settings.max_connections,
        patience=settings.client_patience,
        zone=settings.zone,
        node=settings.node,
        process_id=process_id,
        health=settings.health_listen,
        keys=_keys(security),
        slow_request_ms=settings.slow_request_ms,
        traces=traces,
    )
    if disk is not None:
        return Server.primary(
            common,
            shard=settings.shard,
            data=str(settings.data),
            disk_id=disk.disk_id,
            sync=settings.sync,
            cache_bytes=settings.cache_bytes,
            memtable_bytes=settings.memtable_bytes,
            archive_lag_bytes=settings.archive_lag_bytes if settings.objects else None,
            memory_bytes=settings.memory_bytes,
        )
    if settings.role == "replica":
        return Server.replica(
            common,
            shard=settings.shard,
            cache_bytes=settings.cache_bytes,
            update_bytes=settings.update_bytes,
            warm=settings.warm,
            tail_bytes=settings.tail_bytes,
        )
    return Server.router(common, hedge_extra=settings.hedge_percent / 100)
