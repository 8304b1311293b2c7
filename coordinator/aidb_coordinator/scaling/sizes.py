"""How large the shards are, by what their primaries said last."""

from __future__ import annotations

from collections.abc import Mapping

from aidb_coordinator.control import Control


def sizes_of(control: Control) -> Mapping[int, int]:
    """Bytes, by shard; 0 where nobody has said."""
    sizes = {}
    for shard in control.topology.shards:
        seen = None if shard.primary is None else control.roster.observation(shard.primary.name)
        sizes[shard.id] = 0 if seen is None else seen.bytes
    return sizes
