"""Whether a local cluster is ready, and what it still waits for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aidb.local.description import Description
from aidb.local.state import SupervisorState
from aidb.v1 import cluster_pb2 as pb


@dataclass(frozen=True, slots=True)
class ProgramState:
    """One row of `aidb up`. ``state`` in the coordinator's words, or ``starting``, ``ended``, ``waiting``."""

    name: str
    address: str
    pid: int
    state: str
    ready: bool
    reason: str = ""


def program_states(
    description: Description,
    names: Iterable[str],
    supervisor: SupervisorState | None,
    status: pb.ClusterStatus | None,
) -> list[ProgramState]:
    """Of each program named, in that order. ``status`` None = the coordinator gives none yet."""
    members = {m.member.name: m for m in _members(status)} if status is not None else {}
    shards = {shard.id: shard for shard in status.shards} if status is not None else {}
    found = []
    for name in names:
        member = members.get(name)
        if name.endswith("-primary") and (shard := shards.get(int(name.split("-")[1]))) is not None:
            # Whatever its incarnation.
            member = shard.primary if shard.HasField("primary") else None
        running = name if member is None else member.member.name
        child = None if supervisor is None else supervisor.children.get(running)
        pid = 0 if child is None else child.pid
        if name == "coordinator":
            ready, state, reason = status is not None, "healthy" if status is not None else "starting", ""
        elif member is None:
            ready, state, reason = False, "starting", ""
        else:
            state = pb.MemberState.Name(member.state).removeprefix("MEMBER_").lower()
            reason = member.reason
            ready = member.state == pb.MEMBER_HEALTHY and (pid == 0 or member.pid == pid)
            if name.endswith("-primary"):
                ready = ready and shards[member.member.shard].state == pb.SHARD_RUNNING
        if supervisor is not None and pid == 0:
            ready = False
            state = "waiting" if child is None or child.exit_code is None else f"ended ({child.exit_code})"
        known = description.address(name) if name in description.ports else "-"
        address = known if member is None else member.member.address
        found.append(ProgramState(running, address, pid, state, ready, reason))
    return found


def refused(supervisor: SupervisorState | None) -> list[str]:
    """Programs that ended by refusing to start as asked: starting them again will not help."""
    if supervisor is None:
        return []
    return [n for n, c in supervisor.children.items() if c.pid == 0 and c.exit_code == 2 and c.failures >= 2]


def _members(status: pb.ClusterStatus) -> Iterable[pb.MemberStatus]:
    for shard in status.shards:
        if shard.HasField("primary"):
            yield shard.primary
        yield from shard.replicas
    yield from status.routers
