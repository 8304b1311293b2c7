"""What the coordinator knows, as protobuf."""

from __future__ import annotations

import os

from aidb.physical import split
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import storage_pb2
from aidb_coordinator import codec
from aidb_coordinator.autoscaler import Decision, History, Scale
from aidb_coordinator.autoscaler.configuration import values
from aidb_coordinator.autoscaling.driver import Autoscaler
from aidb_coordinator.autoscaling.memory import Begun
from aidb_coordinator.cluster_backups import ClusterBackup, ClusterBackups
from aidb_coordinator.control import Control
from aidb_coordinator.events import Event
from aidb_coordinator.health import shard_state
from aidb_coordinator.hot_spots import Spots
from aidb_coordinator.rebalance import Plan
from aidb_coordinator.recovering import waiting
from aidb_coordinator.sampler import Sampler
from aidb_coordinator.slot_load import LOAD_SCALE, By
from aidb_coordinator.topology import Member, Shard, Successor


class ClusterViews:
    """The view that clients and nodes get; built once per change, however many read it."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._key: tuple[int, int] | None = None
        self._view = pb.ClusterView()

    def current(self) -> pb.ClusterView:
        """Read only: it is shared."""
        if self._key != self._control.view_key:
            self._view = pb.ClusterView(
                topology=codec.to_proto(self._control.topology), health=_health_set(self._control)
            )
            self._key = self._control.view_key
        return self._view


def _health_set(control: Control) -> pb.MemberHealthSet:
    members = []
    for name in control.topology.members:
        verdict = control.roster.verdict(name)
        state = pb.MemberState.ValueType(int(verdict.state))
        members.append(pb.MemberHealth(name=name, state=state, reason=verdict.reason))
    return pb.MemberHealthSet(version=control.roster.version, members=members)


def cluster_status(
    control: Control,
    address: str,
    metrics_address: str,
    sampler: Sampler,
    autoscaler: Autoscaler,
    backups: ClusterBackups,
) -> pb.ClusterStatus:
    topology, spots = control.topology, sampler.spots
    loads = _shard_loads(control, spots)
    copies = {shard: _second_copy(control, *said) for shard, said in sampler.second_copies.items()}
    return pb.ClusterStatus(
        cluster_uid=topology.cluster_uid,
        term=topology.term,
        topology_version=topology.version,
        shards=[
            _shard_status(control, shard, loads.get(shard.id), copies.get(shard.id))
            for shard in topology.shards
        ],
        routers=[_member_status(control, router) for router in topology.routers],
        pid=os.getpid(),
        address=address,
        metrics_address=metrics_address,
        uptime_ms=int((control.clock.monotonic() - control.started) * 1000),
        feature_level=topology.feature_level,
        durability=codec.durability_to_proto(topology.durability),
        hot_slots=[
            pb.HotSlot(
                slot=hot.slot,
                shard=hot.shard,
                reads=round(hot.reads),
                writes=round(hot.writes),
                bytes=hot.bytes,
                part_ppm=round(hot.part * 1e6),
                alone=hot.alone,
            )
            for hot in spots.slots
        ],
        autoscaler=_autoscaler_status(autoscaler),
        backups=[backup_to_proto(backup, topology.cluster_uid) for backup in backups.backups],
        restores=[
            pb.RestoreStatus(id=id, shards=said.shards, waiting=waiting(topology, id), error=said.error)
            for id, said in control.restores.asked.items()
        ],
    )


def backup_to_proto(backup: ClusterBackup, cluster_uid: str) -> pb.ClusterBackup:
    message = pb.ClusterBackup(
        id=backup.id,
        complete=bool(backup.ended_ms),
        began_ms=backup.began_ms,
        ended_ms=backup.ended_ms,
        clock_ms=backup.clock_ms,
        cluster_uid=cluster_uid,
    )
    for shard in sorted(backup.taken.keys() | backup.problems.keys()):
        one = message.shards.add(shard=shard, problem=backup.problems.get(shard, ""))
        if (manifest := backup.taken.get(shard)) is not None:
            one.snapshot, one.lsn, one.at_ms = manifest.label, manifest.lsn, manifest.at_ms
            one.bytes = manifest.size
    return message


def _second_copy(control: Control, at: float, said: storage_pb2.DurabilityStats) -> pb.SecondCopy:
    return pb.SecondCopy(
        age_ms=int((control.clock.monotonic() - at) * 1000),
        archive_lag_ms=said.archive_lag_ms,
        archive_lag_bytes=said.archive_lag_bytes,
        archive_error=said.archive_error,
        snapshot=said.snapshot,
        snapshot_at_ms=said.snapshot_at_ms,
        snapshot_error=said.snapshot_error,
        verified_at_ms=said.verify.at_ms,
        verify_problem=said.verify.problem,
        drilled_at_ms=said.drill.at_ms,
        drill_problem=said.drill.problem,
    )


def _shard_loads(control: Control, spots: Spots) -> dict[int, pb.ShardLoad]:
    now = control.clock.monotonic()
    return {
        shard: pb.ShardLoad(
            reads=round(reads), writes=round(writes), age_ms=int((now - spots.heard[shard]) * 1000)
        )
        for shard, (reads, writes) in spots.rates.items()
    }


def hot_keys_to_proto(spots: Spots) -> pb.ListHotKeysResponse:
    keys = []
    for hot in spots.keys:
        try:
            slot, keyspace, key = split(hot.key)
        except ValueError:
            continue  # of a member that says what no member should
        keys.append(
            pb.HotKeyStatus(
                shard=hot.shard,
                slot=slot,
                keyspace=keyspace,
                key=key,
                reads=round(hot.reads),
                writes=round(hot.writes),
            )
        )
    return pb.ListHotKeysResponse(keys=keys)


def _shard_status(
    control: Control, shard: Shard, load: pb.ShardLoad | None, second_copy: pb.SecondCopy | None
) -> pb.ShardStatus:
    primary = shard.primary
    state, reason = shard_state(
        None if primary is None else control.roster.verdict(primary.name),
        ((replica.name, control.roster.verdict(replica.name)) for replica in shard.replicas),
    )
    if shard.recovery is not None:
        step, _ = control.takers.step(shard.id) or ("waits for a primary with an empty directory", 0)
        reason = f"being restored ({shard.recovery.id}), incarnation {shard.incarnation}: {step}"
    if shard.fenced:
        reason = "fenced by people: no primary is to serve it"
    seen = None if primary is None else control.roster.observation(primary.name)
    successor = shard.successor
    return pb.ShardStatus(
        id=shard.id,
        state=pb.ShardState.ValueType(int(state)),
        reason=reason,
        epoch=shard.epoch,
        slots=control.topology.slot_counts[shard.id],
        keys=0 if seen is None else seen.keys,
        bytes=0 if seen is None else seen.bytes,
        primary=None if primary is None else _member_status(control, primary),
        replicas=[_member_status(control, replica) for replica in shard.replicas],
        tail_set=shard.tail_set,
        incarnation=shard.incarnation,
        load=load,
        second_copy=second_copy,
        successor=None if successor is None else _successor_status(control, shard.id, successor),
    )


def _successor_status(control: Control, shard: int, successor: Successor) -> pb.SuccessorStatus:
    step, heard_ms = control.takers.step(shard) or ("", 0)
    return pb.SuccessorStatus(successor=codec.successor_to_proto(successor), step=step, heard_ms=heard_ms)


def _member_status(control: Control, member: Member) -> pb.MemberStatus:
    verdict = control.roster.verdict(member.name)
    status = pb.MemberStatus(
        member=codec.member_to_proto(member),
        state=pb.MemberState.ValueType(int(verdict.state)),
        reason=verdict.reason,
    )
    seen = control.roster.observation(member.name)
    if seen is not None:
        status.pid, status.applied_lsn, status.staleness_ms = seen.pid, seen.applied_lsn, seen.staleness_ms
        if seen.last_heartbeat is not None:
            status.last_heartbeat_ms = int((control.clock.monotonic() - seen.last_heartbeat) * 1000)
    return status


def plan_to_proto(plan: Plan, version: int, by: By = By.SLOTS) -> pb.PlanMovesResponse:
    scale = LOAD_SCALE if by is By.LOAD else 1
    return pb.PlanMovesResponse(
        topology_version=version,
        moves=[
            pb.PlannedMove(
                slots=[pb.SlotSpanRef(first=span.first, last=span.last) for span in move.slots],
                source=move.source,
                target=move.target,
            )
            for move in plan.moves
        ],
        shards=[
            pb.SlotCount(shard=shard, before=before // scale, after=plan.after[shard] // scale)
            for shard, before in plan.before.items()
        ],
    )


def _autoscaler_status(autoscaler: Autoscaler) -> pb.AutoscalerStatus:
    status = pb.AutoscalerStatus(mode=autoscaler.rules.mode.value)
    outcome = autoscaler.outcome
    if outcome is not None and outcome.step is not None:
        status.next, status.held = outcome.step.describe(), outcome.held
        status.reasons.extend(outcome.step.reasons)
    if autoscaler.memory.steps:
        status.last.CopyFrom(_step_to_proto(autoscaler.memory.steps[-1]))
    return status


def scaling_to_proto(
    autoscaler: Autoscaler, history: History, decision: Decision | None
) -> pb.GetScalingResponse:
    rules, samples, outcome = autoscaler.rules, history.samples, autoscaler.outcome
    answer = pb.GetScalingResponse(
        mode=rules.mode.value,
        interval_ms=int(rules.interval * 1000),
        samples=len(samples),
        steps=map(_step_to_proto, autoscaler.memory.steps),
        settings=values(rules),
        set=sorted(autoscaler.memory.settings),
    )
    if decision is not None and samples:
        answer.known_ms = int((decision.at - samples[0].at) * 1000)
        answer.age_ms = int((decision.at - samples[-1].at) * 1000)
        answer.shards.CopyFrom(scale_to_proto(decision.shards))
        for shard, scale in decision.replicas.items():
            answer.replicas.add(shard=shard).scale.CopyFrom(scale_to_proto(scale))
    if outcome is not None and outcome.step is not None:
        answer.next, answer.held = outcome.step.describe(), outcome.held
    return answer


def _step_to_proto(step: Begun) -> pb.ScalingStep:
    return pb.ScalingStep(
        at_ms=step.at_ms, what=step.what, operation=step.operation, reasons=list(step.reasons)
    )


def scale_to_proto(scale: Scale) -> pb.Scale:
    return pb.Scale(
        current=scale.current, asked=scale.asked, wanted=scale.wanted, reasons=list(scale.reasons)
    )


def event_to_proto(event: Event) -> pb.Event:
    return pb.Event(
        seq=event.seq,
        unix_ms=event.unix_ms,
        severity=pb.Event.Severity.ValueType(int(event.severity)),
        reason=event.reason,
        subject=event.subject,
        message=event.message,
    )
