"""Who may join: `admit` for any member; `decide` for the epoch of a primary that starts (D10).

The disk shows that it is the shard's last one: it carries the shard's `disk_id` and its last epoch is the
published one.
Before a primary asks, it writes the epoch it will ask for (`pending_epoch`) to its disk. So when the answer
was lost, or the process died before it stored the grant, the published epoch equals the disk's pending one:
that epoch was granted to this disk and never served, and is granted again. The lock on the data directory
makes sure that one process speaks for a disk; `control` keeps copies of a live primary's disk out.
A shard that has to be restored (D9) takes the disk that was: it is in the epoch that the document had
reserved for the restore, and was never served.
A successor (D3, D6) registers with the epoch that it has taken, when it has recovered and waited: that
publishes it. From the taking on, the disk that was published before is superseded.
Rejected: granting published + 1 in that case as well. The disk's epoch would fall behind by each lost
answer, and a disk that merely is behind could not be told from one whose shard was taken over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aidb_coordinator import topology as topologies
from aidb_coordinator.topology import Cut, Member, Role, Shard, Topology

MAX_REPLICAS = 256
MAX_ROUTERS = 1_024
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?")
_ADDRESS = re.compile(r"[^\s/]{1,253}:([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class DiskClaim:
    """What a starting primary says of its data directory. `last_lsn` is the end of its log."""

    disk_id: str
    disk_epoch: int
    pending_epoch: int
    last_lsn: int


@dataclass(frozen=True, slots=True)
class Grant:
    """`cut` is None when there was no epoch before."""

    epoch: int
    cut: Cut | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong, with what, what to do."""

    message: str


def decide(shard: Shard, claim: DiskClaim) -> Grant | Refusal:
    """The decision for a primary of `shard`; a grant is to be published before it is answered."""
    who = f"disk {claim.disk_id} of shard {shard.id}"
    if shard.fresh:
        if claim.disk_epoch == 0:
            return Grant(epoch=1, cut=None)
        return Refusal(
            f"shard {shard.id} never had a primary, but disk {claim.disk_id} holds data of epoch "
            f"{claim.disk_epoch}: it belongs to another coordinator's data directory; start that one, "
            "or use an empty directory"
        )
    if shard.recovery is not None:
        if claim.disk_epoch >= shard.epoch:
            return Grant(claim.pending_epoch, Cut(claim.disk_epoch, claim.last_lsn))
        return Refusal(
            f"shard {shard.id} is being restored, by incarnation {shard.incarnation}; {who} is of epoch "
            f"{claim.disk_epoch}: it is kept aside and must not serve"
        )
    successor = shard.successor
    if successor is not None and successor.epoch:
        if (claim.disk_id, claim.pending_epoch) == (successor.disk_id, successor.epoch):
            return Grant(successor.epoch, Cut(successor.epoch - 1, claim.last_lsn))
        if claim.disk_id == shard.disk_id:
            return Refusal(
                f"disk {successor.disk_id} is taking shard {shard.id} over (epoch {successor.epoch}); "
                f"{who} ended in epoch {claim.disk_epoch} and is kept aside: aidb-admin salvage shows what "
                "only it holds"
            )
        return Refusal(
            f"disk {successor.disk_id} is taking shard {shard.id} over in epoch {successor.epoch}, {who} "
            f"asks for epoch {claim.pending_epoch}: if it took that, another was later, and it has to begin "
            "anew"
        )
    if claim.disk_id != shard.disk_id and 0 < claim.disk_epoch < shard.epoch:
        return Refusal(
            f"{who} ended in epoch {claim.disk_epoch}; the shard was taken over since by disk "
            f"{shard.disk_id} (epoch {shard.epoch}): this disk is kept aside and must not serve; "
            "aidb-admin salvage shows what only it holds"
        )
    if claim.disk_id != shard.disk_id:
        return Refusal(
            f"shard {shard.id} belongs to disk {shard.disk_id} (epoch {shard.epoch}), this is disk "
            f"{claim.disk_id}: start the primary with the data directory that holds the shard; "
            "this one is left as it is"
        )
    cut = Cut(claim.disk_epoch, claim.last_lsn) if claim.disk_epoch else None
    if claim.disk_epoch == shard.epoch and claim.pending_epoch == shard.epoch + 1:
        return Grant(epoch=shard.epoch + 1, cut=cut)
    if claim.disk_epoch < shard.epoch and claim.pending_epoch == shard.epoch:
        return Grant(epoch=shard.epoch, cut=cut)
    if claim.disk_epoch > shard.epoch:
        return Refusal(
            f"{who} has seen epoch {claim.disk_epoch}, the topology only {shard.epoch}: the coordinator's "
            "data directory is an older copy; start the coordinator with the newest one"
        )
    return Refusal(
        f"{who} ended in epoch {claim.disk_epoch}, but epoch {shard.epoch} has been served since: "
        "its data is older than the shard's; it is left as it is and must not serve"
    )


def admit(topology: Topology, member: Member, claim: DiskClaim | None) -> tuple[Topology, Grant | Refusal]:
    """The document with `member` in it and its grant (epoch 0 but for primaries), or the document as it is
    and why not.
    """
    problem = _misplaced(topology, member)
    if problem:
        return topology, Refusal(problem)
    if member.role is Role.ROUTER:
        return topologies.put_router(topology, member), Grant(epoch=0, cut=None)
    shard = topology.shard(member.shard)
    if shard is None:
        last = topology.shards[-1].id
        return topology, Refusal(
            f"shard {member.shard} of {member.name} does not exist: there are shards 0 to {last}"
        )
    if claim is None:
        if member.name not in topology.members and len(shard.replicas) >= MAX_REPLICAS:
            return topology, Refusal(f"shard {shard.id} has {MAX_REPLICAS} replicas already")
        return topologies.put_replica(topology, member), Grant(epoch=0, cut=None)
    decision = decide(shard, claim)
    if isinstance(decision, Refusal):
        return topology, decision
    granted = topologies.grant_epoch(
        topology, member, epoch=decision.epoch, disk_id=claim.disk_id, cut=decision.cut
    )
    return granted, decision


def malformed(member: Member, claim: DiskClaim | None) -> str:
    """What is wrong with a request by itself, or nothing."""
    if not _NAME.fullmatch(member.name):
        return f"{member.name[:128]!r} is no name: up to 128 of a-z, 0-9, dots and dashes"
    for address in filter(None, (member.address, member.metrics_address)):
        matched = _ADDRESS.fullmatch(address)
        if matched is None or not 0 < int(matched.group(1)) < 65536:
            return f"{address[:253]!r} of {member.name} is no address: host:port is needed"
    if not member.address:
        return f"{member.name} names no address to be reached at"
    if max(len(member.zone), len(member.node)) > 253:
        return f"zone or node of {member.name} is longer than 253 characters"
    if member.role not in (Role.PRIMARY, Role.REPLICA, Role.ROUTER):
        return f"{member.name} has role {member.role.name.lower()}; primaries, replicas and routers register"
    if (claim is not None) != (member.role is Role.PRIMARY):
        return f"{member.name}: primaries, and only they, come with a disk"
    if claim is not None and not 0 < len(claim.disk_id) <= 64:
        return f"{member.name} must name the id of its disk, 1 to 64 characters"
    if claim is not None and claim.pending_epoch <= claim.disk_epoch:
        return (
            f"{member.name} asks for epoch {claim.pending_epoch}, but its disk is in {claim.disk_epoch}: "
            "it may ask for a later one"
        )
    return ""


def _misplaced(topology: Topology, member: Member) -> str:
    if not member.feature_min <= topology.feature_level <= member.feature_max:
        return (
            f"{member.name} speaks feature levels {member.feature_min} to {member.feature_max}, "
            f"the cluster is at {topology.feature_level}: use a version that speaks it"
        )
    holder = topology.members.get(member.name)
    if holder is not None and (holder.role, holder.shard) != (member.role, member.shard):
        return (
            f"the name {member.name} belongs to the {holder.role.name.lower()} of shard {holder.shard}: "
            "take another name"
        )
    if member.role is Role.ROUTER and holder is None and len(topology.routers) >= MAX_ROUTERS:
        return f"there are {MAX_ROUTERS} routers already"
    return ""
