"""Coordination: registration, heartbeats, and what administrators ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from aidb import errors
from aidb.slots import SLOT_COUNT
from aidb.v1 import cluster_pb2 as pb
from aidb_coordinator import codec, restores
from aidb_coordinator.autoscaling.driver import Autoscaler
from aidb_coordinator.cluster_backups import ClusterBackups
from aidb_coordinator.control import Control, Process, Report
from aidb_coordinator.health import MemberState
from aidb_coordinator.isolation import isolated
from aidb_coordinator.leases import Renewal
from aidb_coordinator.movers import Progress
from aidb_coordinator.movers import Report as MoveReport
from aidb_coordinator.rebalance import MOST_SLOTS, moves
from aidb_coordinator.registration import DiskClaim
from aidb_coordinator.sampler import Sampler
from aidb_coordinator.scaling.manager import Manager
from aidb_coordinator.service.answers import Context, answers
from aidb_coordinator.service.operations import Operations
from aidb_coordinator.service.views import (
    ClusterViews,
    backup_to_proto,
    event_to_proto,
    hot_keys_to_proto,
    plan_to_proto,
    scaling_to_proto,
)
from aidb_coordinator.slot_load import By, NotMeasured
from aidb_coordinator.takers import Asked, Course
from aidb_coordinator.topology import Move, Role, SlotSpan, TopologyError

DEFAULT_EVENTS = 100
MAX_EVENTS = 1_000
# What members say in words ends up in every view; longer texts are cut.
MAX_REASON = 200


class Coordination(Operations):
    """``status`` gives the cluster's."""

    def __init__(
        self,
        control: Control,
        views: ClusterViews,
        status: Callable[[], pb.ClusterStatus],
        sampler: Sampler,
        scaling: Manager,
        autoscaler: Autoscaler,
        backups: ClusterBackups,
    ) -> None:
        super().__init__(control, scaling)
        self._views = views
        self._status = status
        self._sampler = sampler
        self._autoscaler = autoscaler
        self._backups = backups

    @answers
    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        control = self._control
        if not 0 < len(request.process_id) <= 64:
            raise errors.InvalidArgument("process_id must name the process, 1 to 64 characters")
        try:
            # The shard is named twice in the message; the request's own field counts.
            member = codec.member_from_proto(request.member, shard=request.shard)
        except TopologyError as error:
            raise errors.InvalidArgument(str(error)) from error
        claim = None
        if member.role is Role.PRIMARY:
            claim = DiskClaim(request.disk_id, request.disk_epoch, request.pending_epoch, request.last_lsn)
        process = Process(request.process_id, request.pid, request.cluster_uid, request.wall_clock_ms)
        epoch = await control.register(member, process, claim)
        return pb.RegisterResponse(
            cluster_uid=control.topology.cluster_uid,
            term=control.topology.term,
            epoch=epoch,
            lease_ms=control.settings.lease_ms,
            heartbeat_ms=control.settings.heartbeat_ms,
            view=self._views.current(),
            wall_clock_ms=control.clock.wall_ms(),
            clock_bound_ms=control.settings.clock_bound_ms,
        )

    @answers
    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        control = self._control
        renewal = control.heartbeat(_report(request))
        response = pb.HeartbeatResponse(
            term=control.topology.term,
            renewed=renewal is Renewal.RENEWED,
            register_again=renewal is Renewal.REGISTER_AGAIN,
            lease_ms=control.settings.lease_ms,
            wall_clock_ms=control.clock.wall_ms(),
        )
        if control.view_key != (request.topology_version, request.health_version):
            response.view.CopyFrom(self._views.current())
        return response

    @answers
    async def Leave(self, request: pb.LeaveRequest, context: Context) -> pb.LeaveResponse:
        self._control.leave(request.name, request.process_id)
        if request.forget:
            await self._control.forget(request.name)
        return pb.LeaveResponse()

    @answers
    async def SetTailSet(self, request: pb.SetTailSetRequest, context: Context) -> pb.SetTailSetResponse:
        await self._control.set_tail_set(
            request.name,
            request.process_id,
            request.epoch,
            request.topology_version,
            tuple(sorted(set(request.members))),
        )
        return pb.SetTailSetResponse(view=self._views.current())

    @answers
    async def TakeOver(self, request: pb.TakeOverRequest, context: Context) -> pb.TakeOverResponse:
        control = self._control
        control.check_cluster(request.cluster_uid)
        if not (0 < len(request.disk_id) <= 64 and request.incarnation > 0):
            raise errors.InvalidArgument("a taker names its incarnation and its disk, 1 to 64 characters")
        asked = Asked(
            shard=request.shard,
            incarnation=request.incarnation,
            disk_id=request.disk_id,
            epoch=request.epoch,
            take=request.take,
            step=request.step,
        )
        return self._course(await control.takers.ask(asked))

    def _course(self, course: Course) -> pb.TakeOverResponse:
        control = self._control
        answer = pb.TakeOverResponse(
            cluster_uid=control.topology.cluster_uid,
            term=control.topology.term,
            published=course.published,
            published_epoch=course.shard.epoch,
            published_disk_id=course.shard.disk_id,
            lease_ms=control.settings.lease_ms,
            clock_bound_ms=control.settings.clock_bound_ms,
            predecessor_dead=course.predecessor_dead,
            view=self._views.current(),
        )
        if course.successor is not None:
            answer.planned, answer.epoch = course.successor.planned, course.successor.epoch
        return answer

    @answers
    async def WantSuccessor(
        self, request: pb.WantSuccessorRequest, context: Context
    ) -> pb.WantSuccessorResponse:
        takers = self._control.takers
        reason = request.reason[:MAX_REASON] or "asked for"
        answer = pb.WantSuccessorResponse()
        if request.cancel:
            await takers.withdraw(request.shard, reason)
        else:
            wanted = await takers.want(request.shard, planned=request.planned, reason=reason)
            answer.incarnation = wanted.incarnation
        answer.topology_version = self._control.topology.version
        return answer

    @answers
    async def Restore(self, request: pb.RestoreRequest, context: Context) -> pb.RestoreResponse:
        asked = restores.Asked(request.id, tuple(request.shards), request.clock_ms, request.lsn)
        begun = await self._control.restores.start(asked)
        return pb.RestoreResponse(
            shards=begun.shards,
            waiting=begun.waiting,
            topology_version=self._control.topology.version,
        )

    @answers
    async def BackupCluster(self, request: pb.BackupClusterRequest, context: Context) -> pb.ClusterBackup:
        if request.release:
            await self._backups.release(request.id)
            return pb.ClusterBackup(id=request.id)
        backup = self._backups.start(request.id, request.name)
        return backup_to_proto(backup, self._control.topology.cluster_uid)

    @answers
    async def FenceShard(self, request: pb.FenceShardRequest, context: Context) -> pb.FenceShardResponse:
        await self._control.fence(request.shard, not request.unfence)
        return pb.FenceShardResponse(topology_version=self._control.topology.version)

    @answers
    async def MoveSlots(self, request: pb.MoveSlotsRequest, context: Context) -> pb.MoveSlotsResponse:
        control = self._control
        slots = [SlotSpan(span.first, span.last) for span in request.slots]
        if any(not span.first <= span.last < SLOT_COUNT for span in slots):
            raise errors.InvalidArgument(f"a range of slots has its first, and its last, below {SLOT_COUNT}")
        if sum(span.last - span.first + 1 for span in slots) > SLOT_COUNT:
            raise errors.InvalidArgument("the ranges of slots name some of them twice")
        move = await control.movers.start(request.id, slots, request.source, request.target)
        return pb.MoveSlotsResponse(move=codec.move_to_proto(move), topology_version=control.topology.version)

    @answers
    async def CancelMove(self, request: pb.CancelMoveRequest, context: Context) -> pb.CancelMoveResponse:
        move = await self._control.movers.cancel(request.id)
        return pb.CancelMoveResponse(move=codec.move_to_proto(move))

    @answers
    async def ListMoves(self, request: pb.ListMovesRequest, context: Context) -> pb.ListMovesResponse:
        control = self._control
        return pb.ListMovesResponse(moves=[_move_status(control, move) for move in control.topology.moves])

    @answers
    async def ReportMove(self, request: pb.ReportMoveRequest, context: Context) -> pb.ReportMoveResponse:
        said = request.progress
        report = MoveReport(
            name=request.name,
            process_id=request.process_id,
            epoch=request.epoch,
            move_id=request.id,
            attempt=request.attempt,
            progress=Progress(
                step=said.step[:MAX_REASON],
                bytes=said.bytes,
                bytes_total=said.bytes_total,
                bytes_per_second=said.bytes_per_second,
                behind_ms=said.behind_ms,
                entries=said.entries,
            ),
            ready=request.ready,
            final_lsn=request.final_lsn,
            since_lsn=request.since_lsn,
            failed=request.failed,
        )
        await self._control.movers.report(report)
        return pb.ReportMoveResponse(topology_version=self._control.topology.version)

    @answers
    async def GetClusterStatus(
        self, request: pb.GetClusterStatusRequest, context: Context
    ) -> pb.ClusterStatus:
        return self._status()

    @answers
    async def PlanMoves(self, request: pb.PlanMovesRequest, context: Context) -> pb.PlanMovesResponse:
        topology = self._control.topology
        ids = {shard.id for shard in topology.shards}
        if strangers := set(request.without) - ids:
            raise errors.InvalidArgument(f"there is no shard {min(strangers)}")
        if not ids - set(request.without):
            raise errors.InvalidArgument("somebody has to have the slots: leave one shard at least")
        most_slots = min(request.most_slots or MOST_SLOTS, SLOT_COUNT)
        by = By.LOAD if request.HasField("isolate") else _by(request.by)
        try:
            figures = self._sampler.load.weights(topology, by)
        except NotMeasured as error:
            raise errors.Busy(f"{error}; ask again in a moment, or plan by slots") from error
        if request.HasField("isolate"):
            if request.by or request.without:
                raise errors.InvalidArgument("a plan that isolates a slot is by load, and of all shards")
            try:
                plan = await asyncio.to_thread(isolated, topology, request.isolate, figures, most_slots)
            except ValueError as error:
                raise errors.InvalidArgument(str(error)) from error
        else:
            plan = await asyncio.to_thread(
                moves, topology, ids - set(request.without), figures=figures, most_slots=most_slots
            )
        return plan_to_proto(plan, topology.version, by)

    @answers
    async def ListHotKeys(self, request: pb.ListHotKeysRequest, context: Context) -> pb.ListHotKeysResponse:
        return hot_keys_to_proto(self._sampler.spots)

    @answers
    async def GetScaling(self, request: pb.GetScalingRequest, context: Context) -> pb.GetScalingResponse:
        return scaling_to_proto(self._autoscaler, *await self._autoscaler.decide())

    @answers
    async def SetScaling(self, request: pb.SetScalingRequest, context: Context) -> pb.GetScalingResponse:
        await self._autoscaler.configure(request.mode, request.set, frozenset(request.unset))
        return scaling_to_proto(self._autoscaler, *await self._autoscaler.decide())

    @answers
    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        limit = min(request.limit or DEFAULT_EVENTS, MAX_EVENTS)
        events = self._control.events.after(request.after, limit)
        return pb.ListEventsResponse(events=map(event_to_proto, events))

    @answers
    async def ListTopologyChanges(
        self, request: pb.ListTopologyChangesRequest, context: Context
    ) -> pb.ListTopologyChangesResponse:
        limit = min(request.limit or DEFAULT_EVENTS, MAX_EVENTS)
        changes = self._control.changes
        found = [] if changes is None else changes.after(request.after, limit)
        return pb.ListTopologyChangesResponse(
            changes=[pb.TopologyChange(**asdict(change)) for change in found]
        )


def _by(name: str) -> By:
    """Raises InvalidArgument."""
    try:
        return By(name or By.SLOTS)
    except ValueError as error:
        raise errors.InvalidArgument(f"{name!r} cannot be evened: slots, bytes or load") from error


def _move_status(control: Control, move: Move) -> pb.MoveStatus:
    status = pb.MoveStatus(move=codec.move_to_proto(move))
    heard = control.movers.heard(move)
    if heard is not None:
        said, status.heard_ms = heard
        status.progress.CopyFrom(
            pb.MoveProgress(
                step=said.step,
                bytes=said.bytes,
                bytes_total=said.bytes_total,
                bytes_per_second=said.bytes_per_second,
                behind_ms=said.behind_ms,
                entries=said.entries,
            )
        )
    return status


def _report(request: pb.HeartbeatRequest) -> Report:
    """Raises InvalidArgument."""
    if not 0 < len(request.process_id) <= 64:
        raise errors.InvalidArgument("process_id must name the process, 1 to 64 characters")
    try:
        state = MemberState(request.state)
    except ValueError as error:
        raise errors.InvalidArgument(f"state {request.state} is not known to this version") from error
    return Report(
        name=request.name,
        process=Process(request.process_id, request.pid, request.cluster_uid, request.wall_clock_ms),
        epoch=request.epoch,
        term=request.term,
        state=state,
        reason=request.reason[:MAX_REASON],
        keys=request.keys,
        bytes=request.bytes,
        applied_lsn=request.applied_lsn,
        staleness_ms=request.staleness_ms,
    )
