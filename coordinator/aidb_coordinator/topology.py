"""The topology: the one document that says who owns which slots.

Immutable values and pure transitions; `codec` turns them into protobuf and JSON, `store` keeps them.
Invariants:
- `version` rises by one with every transition that changes ownership, an epoch or an address, and with
  nothing else: health, leases and progress live beside the document; a new `term` alone does not raise it.
- the epoch of a shard never falls (V4, D10).
- a name belongs to one member.
- the id of a shard is never given out again: its objects, claims among them, are in the store for good.
A transition that changes nothing returns the very same object, so `new is old` means that there is nothing
to store.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from functools import cached_property

from aidb.slots import SLOT_COUNT

FORMAT = 1
NOBODY = 0xFFFF
# Of a new cluster. A format that older programs do not know is written once the level is raised, which is
# when it is first wanted and every member knows it.
FEATURE_LEVEL = 1
# Log records of slot moves.
MOVES_LEVEL = 2
# Cuts kept per shard (C5), newest epochs last, some 12 bytes each. Tokens older than these cannot be judged.
MAX_CUTS = 32


class TopologyError(ValueError):
    """The document contradicts itself, or a transition was asked for that it does not allow."""


class Durability(IntEnum):
    """Numbers of aidb.v1.Durability: what an acknowledgement waits for, weakest first (D4)."""

    ASYNC = 1
    REPLICA = 2
    ARCHIVED = 3


class Role(IntEnum):
    """Numbers of aidb.v1.Role."""

    UNKNOWN = 0
    PRIMARY = 1
    REPLICA = 2
    ROUTER = 3
    COORDINATOR = 4


@dataclass(frozen=True, slots=True)
class Member:
    """A program that serves. `address` and `metrics_address` are host:port; `shard` is 0 for routers."""

    name: str
    address: str
    role: Role
    shard: int = 0
    zone: str = ""
    node: str = ""
    feature_min: int = FEATURE_LEVEL
    feature_max: int = MOVES_LEVEL
    metrics_address: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the log of `epoch` ended (C5)."""

    epoch: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Successor:
    """The next incarnation of a shard's primary, wanted beside the published one.

    `epoch` 0: none was taken yet. From when one was, no lease of the published epoch is renewed, and its disk
    serves no more (D3).
    """

    incarnation: int
    planned: bool
    reason: str = ""
    epoch: int = 0
    disk_id: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A shard that has to come from the objects of cluster `cluster_uid` (D9): to a time of its clock, to an
    LSN, or, with neither, to the newest. `id`: of the restore, which is of other shards as well. `url`: of
    the object store, empty = the cluster's own.
    """

    id: str
    cluster_uid: str
    clock_ms: int = 0
    lsn: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """`epoch` 0 and no `disk_id`: no primary has ever registered. `least_lsn`: later epochs begin there or
    above (V1). `recovery`: it has no disk, and the next one has to be restored first. `restored_by`: id of
    the restore that its disk came from. `fenced`: by people; no primary is to serve it.
    """

    id: int
    epoch: int = 0
    incarnation: int = 1
    disk_id: str = ""
    primary: Member | None = None
    replicas: tuple[Member, ...] = ()
    cuts: tuple[Cut, ...] = ()
    tail_set: tuple[str, ...] = ()
    successor: Successor | None = None
    least_lsn: int = 0
    recovery: Recovery | None = None
    restored_by: str = ""
    fenced: bool = False

    @property
    def newest_epoch(self) -> int:
        """Published, or taken by a successor."""
        return max(self.epoch, 0 if self.successor is None else self.successor.epoch)

    @property
    def fresh(self) -> bool:
        return self.epoch == 0 and not self.disk_id

    def members(self) -> Iterator[Member]:
        if self.primary is not None:
            yield self.primary
        yield from self.replicas


@dataclass(frozen=True, slots=True)
class SlotSpan:
    """Inclusive on both ends."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SlotEpoch:
    """Slots whose epoch is not 0 (M6), and the LSN that the owner's answers start from (C5)."""

    span: SlotSpan
    epoch: int
    since_lsn: int


class MoveStep(StrEnum):
    """Of a slot move, see `moves`. Nodes obey it while it is prepared or fenced."""

    WAITING = "waiting"
    PREPARED = "prepared"
    FENCED = "fenced"
    COMMITTED = "committed"
    CANCELLED = "cancelled"
    FAILED = "failed"


UNDER_WAY = (MoveStep.PREPARED, MoveStep.FENCED)
LIVE = (MoveStep.WAITING, *UNDER_WAY)


@dataclass(frozen=True, slots=True)
class Move:
    """M1: what PREPARE records; the epochs are 0 before. `reason`: why the last attempt was aborted. Once it
    is committed, `committed_at_ms` says when, and `since_lsn` from which LSN of the target on.
    """

    id: str
    attempt: int
    slots: tuple[SlotSpan, ...]
    source: int
    source_epoch: int
    target: int
    target_epoch: int
    step: MoveStep
    reason: str = ""
    committed_at_ms: int = 0
    since_lsn: int = 0


@dataclass(frozen=True)
class Topology:
    """`slot_owners` is packed: a big-endian uint16 for each slot, `NOBODY` where no shard owns it.
    `next_shard`: no shard of this id or a higher one ever was; 0 = none has been removed.
    """

    cluster_uid: str
    slot_owners: bytes
    shards: tuple[Shard, ...]
    version: int = 1
    term: int = 0
    feature_level: int = FEATURE_LEVEL
    slot_epochs: tuple[SlotEpoch, ...] = ()
    routers: tuple[Member, ...] = ()
    moves: tuple[Move, ...] = ()
    durability: Durability = Durability.ASYNC
    next_shard: int = 0

    @property
    def free_id(self) -> int:
        """The lowest that a new shard may have."""
        return max(self.next_shard, self.shards[-1].id + 1 if self.shards else 0)

    @cached_property
    def members(self) -> dict[str, Member]:
        """Every member by name."""
        found = {member.name: member for shard in self.shards for member in shard.members()}
        found.update((router.name, router) for router in self.routers)
        return found

    @cached_property
    def slot_counts(self) -> dict[int, int]:
        """Slots of each shard, by shard id; shards without slots count 0."""
        counts = {shard.id: 0 for shard in self.shards}
        for owner in unpack_owners(self.slot_owners):
            if owner != NOBODY:
                counts[owner] += 1
        return counts

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {shard.id: position for position, shard in enumerate(self.shards)}

    def shard(self, shard_id: int) -> Shard | None:
        position = self._positions.get(shard_id)
        return None if position is None else self.shards[position]

    def owner(self, slot: int) -> int:
        """The shard that owns `slot`, or `NOBODY`."""
        return int.from_bytes(self.slot_owners[2 * slot : 2 * slot + 2], "big")


def pack_owners(owners: list[int]) -> bytes:
    packed = array("H", owners)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def unpack_owners(packed: bytes) -> list[int]:
    owners = array("H")
    owners.frombytes(packed)
    if sys.byteorder == "little":
        owners.byteswap()
    return owners.tolist()


def check(topology: Topology) -> None:
    """Raises TopologyError when the document breaks an invariant; for documents that come from outside."""
    if len(topology.slot_owners) != 2 * SLOT_COUNT:
        raise TopologyError(f"the slot table has {len(topology.slot_owners)} bytes, not {2 * SLOT_COUNT}")
    ids = [shard.id for shard in topology.shards]
    if ids != sorted(set(ids)) or (ids and ids[-1] >= NOBODY) or topology.next_shard > NOBODY:
        raise TopologyError("shard ids are not ascending, or out of range")
    strangers = set(unpack_owners(topology.slot_owners)) - set(ids) - {NOBODY}
    if strangers:
        raise TopologyError(f"slots belong to shards that do not exist: {sorted(strangers)[:5]}")
    if any(shard.recovery is not None and (shard.disk_id or shard.primary) for shard in topology.shards):
        raise TopologyError("a shard that has to be restored has a disk")
    if len(topology.members) != sum(1 for s in topology.shards for _ in s.members()) + len(topology.routers):
        raise TopologyError("two members share a name")


def with_term(topology: Topology, term: int) -> Topology:
    """The document as a coordinator of `term` writes it. Raises TopologyError for a term that is not
    newer.
    """
    if term <= topology.term:
        raise TopologyError(f"term {term} is not newer than {topology.term}")
    return replace(topology, term=term)


def with_durability(topology: Topology, durability: Durability) -> Topology:
    """The cluster's mode (D4)."""
    return (
        topology
        if durability is topology.durability
        else next_version(replace(topology, durability=durability))
    )


def add_shards(topology: Topology, ids: Collection[int]) -> Topology:
    """With shards of these ids, which own nothing and wait for their primaries; those that are there stay.

    Raises TopologyError for ids that may have been given out before.
    """
    new = sorted(set(ids) - {shard.id for shard in topology.shards})
    if not new:
        return topology
    if new[0] < topology.free_id:
        raise TopologyError(f"shard {new[0]} was there before: ids are never given out again")
    if new[-1] >= NOBODY:
        raise TopologyError(f"{new[-1]} is no id of a shard: they are below {NOBODY}")
    shards = (*topology.shards, *map(Shard, new))
    return next_version(replace(topology, shards=shards, next_shard=new[-1] + 1))


def drop_shards(topology: Topology, ids: Collection[int]) -> Topology:
    """Without the shards of these ids; those that are not there are gone already.

    Raises TopologyError when one owns a slot, is part of a move, is being succeeded, or none would be left.
    """
    gone = {shard.id for shard in topology.shards} & set(ids)
    if not gone:
        return topology
    if len(gone) == len(topology.shards):
        raise TopologyError("the last shard cannot go")
    for shard_id in sorted(gone):
        if topology.slot_counts[shard_id]:
            raise TopologyError(f"shard {shard_id} owns {topology.slot_counts[shard_id]} slots")
        if existing(topology, shard_id).successor is not None:
            raise TopologyError(f"another incarnation of shard {shard_id} is wanted")
    for move in topology.moves:
        if move.step in LIVE and not gone.isdisjoint((move.source, move.target)):
            raise TopologyError(f"move {move.id} is under way between shards {move.source} and {move.target}")
    kept = tuple(shard for shard in topology.shards if shard.id not in gone)
    return next_version(replace(topology, shards=kept, next_shard=topology.free_id))


def set_fenced(topology: Topology, shard_id: int, fenced: bool) -> Topology:
    """Whether people want the shard to be without a primary. Raises TopologyError when it does not exist."""
    shard = existing(topology, shard_id)
    return topology if shard.fenced == fenced else with_shard(topology, replace(shard, fenced=fenced))


def put_replica(topology: Topology, member: Member) -> Topology:
    """Records a replica, new or at a new address. Raises TopologyError when its shard does not exist."""
    shard = existing(topology, member.shard)
    replicas = _put(shard.replicas, member)
    return topology if replicas is shard.replicas else with_shard(topology, replace(shard, replicas=replicas))


def put_router(topology: Topology, member: Member) -> Topology:
    routers = _put(topology.routers, member)
    return topology if routers is topology.routers else next_version(replace(topology, routers=routers))


def grant_epoch(
    topology: Topology, primary: Member, *, epoch: int, disk_id: str, cut: Cut | None
) -> Topology:
    """Publishes `primary` as the holder of `epoch` of its shard, and where the log before it ended.

    Granting the published epoch once more is allowed (D10: granted, but never used). The successor that took
    the epoch is the shard's incarnation from now on; one that was wanted because the primary was gone is
    wanted no more. One whose disk was restored goes on from there: cuts beyond are lowered, so that who saw
    more is told (C5). Raises TopologyError when the epoch would fall or the shard does not exist.
    """
    shard = existing(topology, primary.shard)
    if epoch < max(shard.newest_epoch, 1):
        raise TopologyError(f"epoch {epoch} of shard {shard.id} is older than {shard.newest_epoch}")
    incarnation, successor = shard.incarnation, shard.successor
    if successor is not None and successor.epoch:
        incarnation, successor = successor.incarnation, None
    elif successor is not None and not successor.planned:
        successor = None
    cuts, restored_by = shard.cuts, shard.restored_by
    if shard.recovery is not None and cut is not None:
        cuts = tuple(Cut(kept.epoch, min(kept.lsn, cut.lsn)) for kept in cuts)
        restored_by = shard.recovery.id
    if cut is not None:
        cuts = (*(kept for kept in cuts if kept.epoch < cut.epoch), cut)[-MAX_CUTS:]
    granted = replace(
        shard,
        epoch=epoch,
        disk_id=disk_id,
        primary=primary,
        cuts=cuts,
        incarnation=incarnation,
        successor=successor,
        recovery=None,
        restored_by=restored_by,
    )
    if granted == shard:
        return topology
    if epoch > shard.epoch:
        topology = interrupt_moves(topology, shard.id)
    return with_shard(topology, granted)


def interrupt_moves(topology: Topology, shard_id: int) -> Topology:
    """M1: goes into the swap that raises an epoch of the shard, published or taken: its moves that are not
    committed are aborted with it, and nothing else guards them (m14).
    """

    def after(move: Move) -> Move:
        concerned = shard_id in (move.source, move.target) and move.step in UNDER_WAY
        return aborted(move, f"shard {shard_id} has a new epoch") if concerned else move

    return replace(topology, moves=tuple(map(after, topology.moves)))


def aborted(move: Move, reason: str) -> Move:
    """M9. The next attempt waits."""
    return replace(
        move,
        step=MoveStep.WAITING,
        attempt=move.attempt + 1,
        source_epoch=0,
        target_epoch=0,
        reason=reason,
    )


def set_tail_set(
    topology: Topology, shard_id: int, members: tuple[str, ...], *, version: int, same_node: bool
) -> Topology:
    """Who keeps the tail of the shard's log (D5), as its primary asked at ``version``.

    It raises the version even if the set is as it was: whoever asked at an older one, and has no answer,
    knows that it will not be done any more. ``same_node``: members may share a node with the primary and
    each other. Raises TopologyError when the document has changed since, or for members that may not be.
    """
    shard = existing(topology, shard_id)
    if topology.version != version:
        raise TopologyError(f"the topology is at version {topology.version}, not {version}")
    if shard.successor is not None and shard.successor.epoch:
        # The taker seals the members that it found when it took its epoch: nobody else may confirm writes.
        raise TopologyError(f"epoch {shard.successor.epoch} of shard {shard_id} has been taken")
    known = {replica.name: replica for replica in shard.replicas}
    nodes = {} if shard.primary is None else {shard.primary.node: shard.primary.name}
    for name in members:
        if name not in known:
            raise TopologyError(f"{name} is no replica of shard {shard_id}")
        node = known[name].node
        if node in nodes and not same_node:
            raise TopologyError(f"{name} is on node {node or 'unknown'}, as {nodes[node]} is")
        nodes[node] = name
    return with_shard(topology, replace(shard, tail_set=tuple(sorted(members))))


def forget_member(topology: Topology, name: str) -> Topology:
    """Drops a replica or router that will not come back. Primaries stay: they hold data. Unknown names
    change nothing.
    """
    member = topology.members.get(name)
    if member is None or member.role is Role.PRIMARY:
        return topology
    if member.role is Role.ROUTER:
        return next_version(replace(topology, routers=tuple(r for r in topology.routers if r.name != name)))
    shard = existing(topology, member.shard)
    return with_shard(topology, replace(shard, replicas=tuple(r for r in shard.replicas if r.name != name)))


def existing(topology: Topology, shard_id: int) -> Shard:
    """Raises TopologyError."""
    shard = topology.shard(shard_id)
    if shard is None:
        raise TopologyError(f"shard {shard_id} does not exist")
    return shard


def with_shard(topology: Topology, shard: Shard) -> Topology:
    """The next version, with `shard` in place of the one of its id."""
    return next_version(
        replace(topology, shards=tuple(shard if s.id == shard.id else s for s in topology.shards))
    )


def next_version(topology: Topology) -> Topology:
    return replace(topology, version=topology.version + 1)


def _put(members: tuple[Member, ...], member: Member) -> tuple[Member, ...]:
    """`members` with `member` in it, by name; the same tuple when it was there already."""
    if member in members:
        return members
    others = (kept for kept in members if kept.name != member.name)
    return tuple(sorted((*others, member), key=lambda kept: kept.name))
