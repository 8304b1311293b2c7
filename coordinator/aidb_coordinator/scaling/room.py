"""Whether what shards that leave have fits where it goes, and where there is how much room. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aidb_coordinator.scaling.requests import Refused
from aidb_coordinator.topology import Topology

# An import is in the target's log before it is in its tables, and what was replaced waits for compaction.
OVERHEAD = 1.1
IN_FLIGHT = 256 << 20


@dataclass(frozen=True, slots=True)
class Room:
    """Which disk a shard is on, which others may be on too, and the bytes that are free there."""

    disk: str
    free: int


def check_room(
    leave: tuple[int, ...], topology: Topology, sizes: Mapping[int, int], rooms: Mapping[int, Room]
) -> None:
    """`sizes`: bytes of each shard. A shard whose room nobody knows lets everything pass: its own disk will
    say. What moves within a disk leaves it room as it goes. Raises Refused, with figures.
    """
    stay = [shard.id for shard in topology.shards if shard.id not in leave]
    if not all(shard in rooms for shard in (*stay, *leave)):
        return
    disks = {rooms[shard].disk: rooms[shard].free for shard in stay}
    moving = sum(sizes.get(shard, 0) for shard in leave)
    within = sum(sizes.get(shard, 0) for shard in leave if rooms[shard].disk in disks)
    needed = int(moving * OVERHEAD) + IN_FLIGHT
    if sum(disks.values()) + within >= needed:
        return
    raise Refused(
        f"{_named(leave)} {_mib(moving)}, which needs {_mib(max(0, needed - within))} free on the disks of "
        f"the others: they have {_mib(sum(disks.values()))}; make room there, or add shards first"
    )


def free_of(shards: Collection[int], rooms: Mapping[int, Room]) -> Mapping[int, int] | None:
    """What each of `shards` may take; those on one disk share it. None: all are on one, or somebody's is not
    known, and they are filled evenly.
    """
    if not all(shard in rooms for shard in shards):
        return None
    users = Counter(rooms[shard].disk for shard in shards)
    if len(users) < 2:
        return None
    return {shard: rooms[shard].free // users[rooms[shard].disk] for shard in shards}


def _named(shards: tuple[int, ...]) -> str:
    numbers = ", ".join(map(str, shards))
    return f"shard {numbers} has" if len(shards) == 1 else f"shards {numbers} have"


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"
