"""`python -m aidb_coordinator.restoring --data DIR`: the topology of a cluster that was restored as a whole
(D9), written where its coordinator will find it. `aidb-admin recover` runs it; the coordinator must be down.

    stdin   {"show": true}                                              or
            {"shard": {"id", "epoch", "disk_id", "lsn"}}                or
            {"then": base64, "newest": base64, "shards": [{"id", "epoch", "disk_id", "lsn"}]}
    stdout  {"topology": base64 or null}

``then`` says who owned what, ``newest`` is the last version that is known; what is written is the next one
after every one that was ever published, with the members of the newest. Shards are in the epochs of the disks
that were restored, so that their primaries start as after a restart (D10). Cuts are lowered to what was
restored: sessions that saw more are told (C5). Slots that change hands get a newer epoch, and moves and
takeovers that were under way are over (M1, D3), and so are operations. ``shard``: one shard was restored,
everything else stays.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from aidb.v1 import cluster_pb2 as pb
from aidb_coordinator import codec
from aidb_coordinator.scaling.journal import FileJournal, give_up
from aidb_coordinator.slot_epochs import gone_back
from aidb_coordinator.store import StoreError
from aidb_coordinator.store.file import FileStore
from aidb_coordinator.topology import Cut, Shard, Topology, TopologyError, interrupt_moves


@dataclass(frozen=True, slots=True)
class Restored:
    """A shard's disk: the last epoch in it, and its last LSN."""

    epoch: int
    disk_id: str
    lsn: int


def restored(newest: Topology, then: Topology, shards: Mapping[int, Restored]) -> Topology:
    """The next document. Raises TopologyError when the restored shards are not those of ``then``."""
    if set(shards) != {shard.id for shard in then.shards}:
        raise TopologyError("the shards that were restored are not those of the topology")
    if newest.cluster_uid != then.cluster_uid:
        raise TopologyError(f"this is cluster {newest.cluster_uid}, the topology is of {then.cluster_uid}")
    return replace(
        newest,
        version=max(newest.version, then.version) + 1,
        term=max(newest.term, then.term),
        feature_level=max(newest.feature_level, then.feature_level),
        slot_owners=then.slot_owners,
        slot_epochs=tuple(gone_back(newest, then)),
        shards=tuple(_shard(newest.shard(one.id) or one, shards[one.id]) for one in then.shards),
        moves=(),
        next_shard=max(newest.free_id, then.free_id),
    )


def with_restored(topology: Topology, shard: int, disk: Restored) -> Topology:
    """After a restore of that shard alone."""
    known = topology.shard(shard)
    if known is None or (after := _shard(known, disk)) == known:
        return topology
    shards = tuple(after if one.id == shard else one for one in topology.shards)
    return replace(interrupt_moves(topology, shard), version=topology.version + 1, shards=shards)


def _shard(known: Shard, disk: Restored) -> Shard:
    cuts = _cuts(known, disk.lsn)
    return replace(
        known,
        epoch=disk.epoch,
        disk_id=disk.disk_id,
        cuts=cuts,
        tail_set=(),
        successor=None,
        recovery=None,
        restored_by="",
    )


def _disk(asked: dict[str, Any]) -> tuple[int, Restored]:
    return int(asked["id"]), Restored(int(asked["epoch"]), str(asked["disk_id"]), int(asked["lsn"]))


def _cuts(shard: Shard, lsn: int) -> tuple[Cut, ...]:
    return tuple(Cut(cut.epoch, min(cut.lsn, lsn)) for cut in shard.cuts)


def run(data: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Raises StoreError, TopologyError."""
    store = FileStore(data)
    try:
        stored = store.load()
        if "shard" in asked:
            shard, disk = _disk(asked["shard"])
            if (
                stored is not None
                and (after := with_restored(stored.topology, shard, disk)) != stored.topology
            ):
                stored = store.swap(stored.revision, after)
        elif not asked.get("show"):
            shards = dict(_disk(one) for one in asked["shards"])
            newest = _decoded(asked["newest"])
            if stored is not None and stored.topology.version >= newest.version:
                newest = stored.topology
            document = restored(newest, _decoded(asked["then"]), shards)
            give_up(FileJournal(data), int(time.time() * 1000))
            stored = store.swap(None if stored is None else stored.revision, document)
    finally:
        store.close()
    return {"topology": None if stored is None else _encoded(stored.topology)}


def _decoded(text: str) -> Topology:
    message = pb.Topology()
    try:
        message.ParseFromString(base64.b64decode(text))
    except (DecodeError, ValueError) as error:
        raise TopologyError(f"it cannot be read: {error}") from error
    return codec.from_proto(message)


def _encoded(topology: Topology) -> str:
    return base64.b64encode(codec.to_proto(topology).SerializeToString()).decode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="aidb_coordinator.restoring", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    try:
        print(json.dumps(run(options.data, json.load(sys.stdin))))
    except (StoreError, TopologyError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
