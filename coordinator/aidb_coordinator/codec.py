"""The topology as protobuf (for the wire) and as JSON (for the store). Both carry the same facts."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from aidb.slots import SLOT_COUNT
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import common_pb2 as common
from aidb_coordinator.topology import (
    FEATURE_LEVEL,
    FORMAT,
    Cut,
    Durability,
    Member,
    Move,
    MoveStep,
    Recovery,
    Role,
    Shard,
    SlotEpoch,
    SlotSpan,
    Successor,
    Topology,
    TopologyError,
    check,
)


def member_to_proto(member: Member) -> pb.Member:
    return pb.Member(
        name=member.name,
        address=member.address,
        zone=member.zone,
        node=member.node,
        role=pb.Role.ValueType(int(member.role)),
        feature_min=member.feature_min,
        feature_max=member.feature_max,
        shard=member.shard,
        metrics_address=member.metrics_address,
    )


def member_from_proto(message: pb.Member, shard: int | None = None) -> Member:
    """`shard` replaces the message's own. Programs that name no feature range speak level 1. Raises
    TopologyError for a role of a newer version.
    """
    try:
        role = Role(message.role)
    except ValueError as error:
        raise TopologyError(f"role {message.role} of {message.name} is not known to this version") from error
    return Member(
        name=message.name,
        address=message.address,
        role=role,
        shard=message.shard if shard is None else shard,
        zone=message.zone,
        node=message.node,
        feature_min=message.feature_min or FEATURE_LEVEL,
        feature_max=message.feature_max or FEATURE_LEVEL,
        metrics_address=message.metrics_address,
    )


def to_proto(topology: Topology) -> pb.Topology:
    return pb.Topology(
        format=FORMAT,
        cluster_uid=topology.cluster_uid,
        version=topology.version,
        term=topology.term,
        feature_level=topology.feature_level,
        slot_owners=topology.slot_owners,
        slot_count=SLOT_COUNT,
        slot_epochs=[
            pb.SlotEpoch(first=e.span.first, last=e.span.last, epoch=e.epoch, since_lsn=e.since_lsn)
            for e in topology.slot_epochs
        ],
        shards=[_shard_to_proto(shard) for shard in topology.shards],
        routers=[member_to_proto(router) for router in topology.routers],
        moves=[move_to_proto(move) for move in topology.moves],
        durability=durability_to_proto(topology.durability),
        next_shard=topology.next_shard,
    )


def durability_to_proto(durability: Durability) -> common.Durability.ValueType:
    return common.Durability.ValueType(int(durability))


def _shard_to_proto(shard: Shard) -> pb.Shard:
    return pb.Shard(
        id=shard.id,
        epoch=shard.epoch,
        incarnation=shard.incarnation,
        disk_id=shard.disk_id,
        primary=None if shard.primary is None else member_to_proto(shard.primary),
        replicas=[member_to_proto(replica) for replica in shard.replicas],
        cuts=[pb.Cut(epoch=cut.epoch, lsn=cut.lsn) for cut in shard.cuts],
        tail_set=shard.tail_set,
        successor=None if shard.successor is None else successor_to_proto(shard.successor),
        least_lsn=shard.least_lsn,
        recovery=None if shard.recovery is None else _recovery_to_proto(shard.recovery),
        restored_by=shard.restored_by,
        fenced=shard.fenced,
    )


def _recovery_to_proto(recovery: Recovery) -> pb.Recovery:
    return pb.Recovery(
        id=recovery.id,
        cluster_uid=recovery.cluster_uid,
        clock_ms=recovery.clock_ms,
        lsn=recovery.lsn,
        url=recovery.url,
    )


def successor_to_proto(successor: Successor) -> pb.Successor:
    return pb.Successor(
        incarnation=successor.incarnation,
        planned=successor.planned,
        reason=successor.reason,
        epoch=successor.epoch,
        disk_id=successor.disk_id,
    )


def move_to_proto(move: Move) -> pb.Move:
    return pb.Move(
        id=move.id,
        attempt=move.attempt,
        slots=[pb.SlotSpanRef(first=span.first, last=span.last) for span in move.slots],
        source=move.source,
        source_epoch=move.source_epoch,
        target=move.target,
        target_epoch=move.target_epoch,
        step=move.step,
        reason=move.reason,
        committed_at_ms=move.committed_at_ms,
        since_lsn=move.since_lsn,
    )


def from_proto(message: pb.Topology) -> Topology:
    """Raises TopologyError for a newer format or a document that contradicts itself."""
    if message.format > FORMAT:
        raise TopologyError(f"topology format {message.format} is newer than this version's {FORMAT}")
    topology = Topology(
        cluster_uid=message.cluster_uid,
        slot_owners=message.slot_owners,
        shards=tuple(_shard_from_proto(shard) for shard in message.shards),
        version=message.version,
        term=message.term,
        feature_level=message.feature_level,
        slot_epochs=tuple(
            SlotEpoch(SlotSpan(e.first, e.last), e.epoch, e.since_lsn) for e in message.slot_epochs
        ),
        routers=tuple(member_from_proto(router) for router in message.routers),
        moves=tuple(_move_from_proto(move) for move in message.moves),
        durability=_durability_from_proto(message.durability),
        next_shard=message.next_shard,
    )
    check(topology)
    return topology


def _durability_from_proto(number: int) -> Durability:
    """Documents of before the modes name none."""
    try:
        return Durability(number) if number else Durability.ASYNC
    except ValueError as error:
        raise TopologyError(f"durability {number} is not known to this version") from error


def _shard_from_proto(message: pb.Shard) -> Shard:
    return Shard(
        id=message.id,
        epoch=message.epoch,
        incarnation=message.incarnation,
        disk_id=message.disk_id,
        primary=member_from_proto(message.primary) if message.HasField("primary") else None,
        replicas=tuple(member_from_proto(replica) for replica in message.replicas),
        cuts=tuple(Cut(cut.epoch, cut.lsn) for cut in message.cuts),
        tail_set=tuple(message.tail_set),
        successor=_successor_from_proto(message.successor) if message.HasField("successor") else None,
        least_lsn=message.least_lsn,
        recovery=_recovery_from_proto(message.recovery) if message.HasField("recovery") else None,
        restored_by=message.restored_by,
        fenced=message.fenced,
    )


def _recovery_from_proto(message: pb.Recovery) -> Recovery:
    return Recovery(message.id, message.cluster_uid, message.clock_ms, message.lsn, message.url)


def _successor_from_proto(message: pb.Successor) -> Successor:
    return Successor(message.incarnation, message.planned, message.reason, message.epoch, message.disk_id)


def _move_from_proto(message: pb.Move) -> Move:
    try:
        step = MoveStep(message.step)
    except ValueError as error:
        raise TopologyError(
            f"step {message.step!r} of move {message.id} is not known to this version"
        ) from error
    return Move(
        id=message.id,
        attempt=message.attempt,
        slots=tuple(SlotSpan(span.first, span.last) for span in message.slots),
        source=message.source,
        source_epoch=message.source_epoch,
        target=message.target,
        target_epoch=message.target_epoch,
        step=step,
        reason=message.reason,
        committed_at_ms=message.committed_at_ms,
        since_lsn=message.since_lsn,
    )


def to_json(topology: Topology) -> dict[str, Any]:
    """The protobuf message in protobuf's own JSON form: one schema, not two. Bytes are base64, 64-bit
    numbers strings.
    """
    document: dict[str, Any] = json_format.MessageToDict(to_proto(topology), preserving_proto_field_name=True)
    return document


def from_json(document: dict[str, Any]) -> Topology:
    """Raises TopologyError for a newer format, unknown fields or a document that contradicts itself."""
    message = pb.Topology()
    try:
        if int(document.get("format", 0)) > FORMAT:
            raise TopologyError(f"topology format {document['format']} is newer than this version's {FORMAT}")
        json_format.ParseDict(document, message)
    except (json_format.ParseError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, TopologyError):
            raise
        raise TopologyError(f"not a topology: {error}") from error
    return from_proto(message)
