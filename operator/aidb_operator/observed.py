"""What is: of one cluster, at one moment. Made of what the watches saw and what the coordinator answered;
nothing in it is read when somebody asks for it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aidb import topology_file
from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.names import Names

# A StatefulSet, an epoch and a primary are of one of these.
Place = tuple[int, int]  # shard, incarnation

DOCUMENT_KEY = "document"
_MOST_BYTES = 64 << 20
# Steps of a move in which nodes are at it.
_MOVING = ("prepared", "fenced")


@dataclass(frozen=True, slots=True)
class Shard:
    """As the topology names it. `wanted`: the incarnation beside the published one, 0 = none; `planned`, by a
    hand-over; `reason`, for people; `taken`: the epoch that it has taken, 0 = none yet.
    `fenced`: people want it to be without a primary. `recovering`: its primary has to restore it first.
    """

    id: int
    published: int
    wanted: int = 0
    epoch: int = 0
    primary: str = ""
    planned: bool = False
    reason: str = ""
    taken: int = 0
    fenced: bool = False
    recovering: bool = False

    @property
    def running(self) -> tuple[int, ...]:
        """Incarnations that are to run, oldest first."""
        return (self.published, self.wanted) if self.wanted else (self.published,)


@dataclass(frozen=True, slots=True)
class Topology:
    """The coordinator's document, read as it lies: it is there whether or not a coordinator answers.
    `next_shard`: no shard of this id or a higher one ever was. `moving`: shards that give or take slots.
    """

    cluster_uid: str
    version: int
    shards: Mapping[int, Shard]
    members: frozenset[str] = frozenset()
    next_shard: int = 0
    moving: frozenset[int] = frozenset()

    def runs(self, place: Place) -> bool:
        """Whether that incarnation is to run."""
        shard = self.shards.get(place[0])
        return shard is not None and place[1] in shard.running

    def is_over(self, place: Place) -> bool:
        """Whether that incarnation certainly is not to run: it was replaced or given up, or its shard was
        removed. A shard that this document never had may be of another one, that was lost.
        """
        return not self.runs(place) and (place[0] in self.shards or place[0] < self.next_shard)


class BadTopology(ValueError):
    """The document cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Pod:
    """The parts of a pod that decisions are made by."""

    raw: Raw = field(repr=False)
    name: str
    uid: str
    component: str
    shard: int | None
    incarnation: int | None
    node: str
    ip: str
    ready: bool
    phase: str
    deleted: bool
    leader: bool

    @classmethod
    def of(cls, raw: Raw) -> Pod:
        metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
        labels = metadata.get("labels") or {}
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        deleted = metadata.get("deletionTimestamp") is not None
        return cls(
            raw=raw,
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            component=labels.get(names.COMPONENT, ""),
            shard=names.number(labels, names.SHARD),
            incarnation=names.number(labels, names.INCARNATION),
            node=spec.get("nodeName") or "",
            ip=status.get("podIP") or "",
            ready=conditions.get("Ready") == "True" and not deleted,
            phase=status.get("phase", "Pending"),
            deleted=deleted,
            leader=labels.get(names.LEADER) == "true",
        )


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    zone: str
    ready: bool
    schedulable: bool
    raw: Raw = field(repr=False)

    @classmethod
    def of(cls, raw: Raw) -> Node:
        metadata, spec = raw["metadata"], raw.get("spec", {})
        conditions = {one["type"]: one["status"] for one in raw.get("status", {}).get("conditions") or ()}
        return cls(
            name=metadata["name"],
            zone=(metadata.get("labels") or {}).get(names.ZONE, ""),
            ready=conditions.get("Ready") == "True",
            schedulable=not spec.get("unschedulable"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Coordination:
    """What the leading coordinator answered: protobuf messages of `aidb.v1.cluster_pb2`."""

    status: Any  # ClusterStatus
    operations: tuple[Any, ...]  # Operation, oldest first
    scaling: Any = None  # GetScalingResponse

    @property
    def under_way(self) -> tuple[Any, ...]:
        """Operations that have not ended."""
        return tuple(one for one in self.operations if one.state in ("running", "paused", "cancelling"))


@dataclass(frozen=True)
class Observed:
    """`objects` of the cluster by kind and name. `coordination` is None while no coordinator answers;
    `silence` says why. `source`: the AidbBackup that the cluster begins with, of another one.
    """

    objects: Mapping[Kind, Mapping[str, Raw]]
    nodes: Mapping[str, Node]
    topology: Topology | None
    coordination: Coordination | None = None
    silence: str = ""
    available: frozenset[Kind] = frozenset(kinds.WATCHED)
    source: Raw | None = field(default=None, repr=False)

    def get(self, kind: Kind, name: str) -> Raw | None:
        return self.objects.get(kind, {}).get(name)

    def all(self, kind: Kind) -> Iterable[Raw]:
        """In order of their names."""
        found = self.objects.get(kind, {})
        return [found[name] for name in sorted(found)]

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return tuple(Pod.of(raw) for raw in self.all(kinds.POD))

    def pods_of(self, component: names.Component, shard: int | None = None) -> tuple[Pod, ...]:
        return tuple(self._pods_by_place.get((component, shard), ()))

    @cached_property
    def _pods_by_place(self) -> Mapping[tuple[str, int | None], list[Pod]]:
        """Each under its component, and under its component and shard: clusters have a thousand shards."""
        found: dict[tuple[str, int | None], list[Pod]] = {}
        for pod in self.pods:
            for shard in {None, pod.shard}:
                found.setdefault((pod.component, shard), []).append(pod)
        return found

    @cached_property
    def primaries(self) -> Mapping[Place, Raw]:
        """The StatefulSets of primaries."""
        found = {}
        for raw in self.all(kinds.STATEFUL_SET):
            labels = raw["metadata"].get("labels") or {}
            shard, incarnation = names.number(labels, names.SHARD), names.number(labels, names.INCARNATION)
            if shard is not None and incarnation is not None:
                found[shard, incarnation] = raw
        return found

    @cached_property
    def leader(self) -> Pod | None:
        """The coordinators' pod that leads: the youngest that says so, for a dead one cannot take it back."""
        leading = [pod for pod in self.pods_of("coordinator") if pod.leader and pod.ip and not pod.deleted]
        return max(
            leading,
            key=lambda pod: (pod.ready, pod.raw["metadata"].get("creationTimestamp", "")),
            default=None,
        )


def observe(
    cluster: str,
    objects: Mapping[Kind, Mapping[str, Raw]],
    nodes: Mapping[str, Raw],
    available: frozenset[Kind] = frozenset(kinds.WATCHED),
    *,
    deleting: bool = False,
) -> Observed:
    """`deleting`: what the topology says does not matter any more. Raises BadTopology."""
    document = None if deleting else objects.get(kinds.CONFIG_MAP, {}).get(Names(cluster).topology)
    return Observed(
        objects=objects,
        nodes={name: Node.of(raw) for name, raw in nodes.items()},
        topology=None if document is None else topology_of(document),
        available=available,
    )


def topology_of(config_map: Raw) -> Topology | None:
    """None while the ConfigMap has no document. Raises BadTopology."""
    encoded = (config_map.get("binaryData") or {}).get(DOCUMENT_KEY)
    if encoded is None:
        return None
    name = config_map["metadata"]["name"]
    try:
        return parse(_unpacked(base64.b64decode(encoded, validate=True)))
    except (
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise BadTopology(f"ConfigMap {name} {error}") from error


def _unpacked(stored: bytes) -> bytes:
    """Large documents are stored after zlib; JSON begins otherwise. Raises zlib.error."""
    return zlib.decompressobj().decompress(stored, _MOST_BYTES) if stored[:1] == b"\x78" else stored


def parse(content: bytes) -> Topology:
    """Raises ValueError and others for what is no topology, as `topology_file.unseal`."""
    from google.protobuf import json_format

    from aidb.v1 import cluster_pb2 as pb

    body, _ = topology_file.unseal(content)
    message = json_format.ParseDict(body, pb.Topology()) if isinstance(body, dict) else body
    members = {member.name for shard in message.shards for member in (shard.primary, *shard.replicas)}
    members |= {member.name for member in message.routers}
    shards = {
        shard.id: Shard(
            id=shard.id,
            published=shard.incarnation or 1,
            wanted=shard.successor.incarnation,
            epoch=shard.epoch,
            primary=shard.primary.name,
            planned=shard.successor.planned,
            reason=shard.successor.reason,
            taken=shard.successor.epoch,
            fenced=shard.fenced,
            recovering=shard.HasField("recovery"),
        )
        for shard in message.shards
    }
    return Topology(
        cluster_uid=message.cluster_uid,
        version=message.version,
        shards=shards,
        members=frozenset(members - {""}),
        next_shard=message.next_shard,
        moving=frozenset(
            shard for move in message.moves if move.step in _MOVING for shard in (move.source, move.target)
        ),
    )


def timestamp(text: str) -> datetime:
    """Of Kubernetes: RFC 3339 in UTC. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)
