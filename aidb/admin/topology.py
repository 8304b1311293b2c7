"""`topology show`: who owns which slots, as the cluster has it or as a file holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import json_format

from aidb import topology_file
from aidb.admin import slots
from aidb.cli import output
from aidb.cli.connection import discovery, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb

_CALL_SECONDS = 10.0


def show(address: str | None, file: Path | None, how: Output) -> int:
    """Of ``file``, a coordinator's ``topology.json``, or of any program that answers. Raises Failure."""
    found = fetch(find_address(address)) if file is None else read(file)
    if how is Output.JSON:
        output.document(document(found))
        return int(Exit.OK)
    output.line(
        f"cluster {found.cluster_uid}  version {found.version}  term {found.term}  "
        f"feature level {found.feature_level}"
    )
    owned = slots_of(found)
    columns = ("SHARD", "EPOCH", "INCARNATION", "PRIMARY", "REPLICAS", "SLOTS", "WHICH")
    output.table(columns, [_row(shard, owned.get(shard.id, [])) for shard in found.shards])
    for move in found.moves:
        spans = slots.text_of((span.first, span.last) for span in move.slots)
        output.line(f"move {move.id}: {spans} from shard {move.source} to {move.target}, {move.step}")
    return int(Exit.OK)


def fetch(address: str) -> pb.Topology:
    """Raises Failure."""
    with discovery(address) as stub:
        view: pb.ClusterView = stub.GetTopology(pb.GetTopologyRequest(), timeout=_CALL_SECONDS)
        return view.topology


def read(path: Path) -> pb.Topology:
    """Raises Failure."""
    try:
        body, _ = topology_file.unseal(path.read_bytes())
        return json_format.ParseDict(body, pb.Topology()) if isinstance(body, dict) else body
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", Exit.BAD_INPUT) from error
    except topology_file.Unreadable as error:
        raise Failure(f"{path} {error}") from error
    except json_format.ParseError as error:
        raise Failure(f"{path} is of another version, or damaged: {error}") from error


def document(found: pb.Topology) -> dict[str, Any]:
    """What ``-o json`` prints: protobuf's JSON, but the slots of each shard as ranges beside its id."""
    printed: dict[str, Any] = json_format.MessageToDict(found, preserving_proto_field_name=True)
    del printed["slot_owners"]
    owned = slots_of(found)
    printed["slots"] = {str(shard): slots.text_of(spans) for shard, spans in sorted(owned.items())}
    return printed


def slots_of(found: pb.Topology) -> dict[int, list[slots.Span]]:
    """Of each shard that has any."""
    owned: dict[int, list[int]] = {}
    for slot, owner in enumerate(slots.owners_of(found.slot_owners)):
        if owner is not None:
            owned.setdefault(owner, []).append(slot)
    return {shard: slots.spans_of(mine) for shard, mine in owned.items()}


def _row(shard: pb.Shard, owned: list[slots.Span]) -> tuple[str, ...]:
    primary = f"{shard.primary.name} {shard.primary.address}" if shard.HasField("primary") else "none yet"
    numbers = (f"{shard.id}", f"{shard.epoch}", f"{shard.incarnation}", primary, f"{len(shard.replicas)}")
    return (*numbers, f"{sum(last - first + 1 for first, last in owned):,}", slots.text_of(owned))
