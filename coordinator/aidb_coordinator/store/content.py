"""What a store holds, as bytes: `aidb.topology_file` around the document."""

from __future__ import annotations

from aidb import topology_file
from aidb_coordinator import codec
from aidb_coordinator.store import StoreError
from aidb_coordinator.topology import Topology, TopologyError


def encode(topology: Topology, count: int) -> bytes:
    """`count`: of the writes so far."""
    return topology_file.seal(codec.to_proto(topology), count)


def decode(place: str, content: bytes, advice: str) -> tuple[Topology, int]:
    """Raises StoreError that names `place`, with `advice` for what is damaged."""
    try:
        body, count = topology_file.unseal(content)
        return (codec.from_json(body) if isinstance(body, dict) else codec.from_proto(body)), count
    except topology_file.Damaged as error:
        raise StoreError(f"{place} {error}; {advice}") from error
    except topology_file.Unreadable as error:
        raise StoreError(f"{place} {error}") from error
    except TopologyError as error:
        raise StoreError(f"{place}: {error}") from error
