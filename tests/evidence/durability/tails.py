"""Mode `replica`: the member of the tail set, and a recovery that takes what it holds beyond the archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import grpc
from aidb_node import identity
from aidb_node.recovery.recover import Report, recover
from aidb_node.recovery.tail import append, choose, seal_tails

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import seal_before
from aidb.durability.restore_plan import Target
from aidb.v1 import cluster_pb2 as cluster_pb
from tests.backup.support import open_store
from tests.evidence.processes import Program

_SEAL_SECONDS = 10.0
_NAME = "shard-0-replica-0"


def tail_member(coordinator: str, root: Path, environment: Mapping[str, str]) -> Program:
    """A cache replica, on a node of its own."""
    command = ["-m", "aidb_node", "replica", "--coordinator", coordinator, "--name", _NAME, "--shard", "0"]
    return Program(_NAME, [*command, "--listen", "127.0.0.1:0", "--node", "n1"], root, environment)


def with_tail(catalog: Catalog, directory: Path, topology: cluster_pb.Topology) -> Report:
    """D3 as far as it concerns data: seals the log, restores to its cut, seals the tail set and takes what is
    beyond. The directory then is the published epoch's, for a restart in place (D10).

    Raises Lossy: no member can vouch for what follows the cut. And as `recover`.
    """
    (shard,) = topology.shards
    taker = shard.epoch + 1
    claim = catalog.claim(catalog.newest_claim())
    seal_before(catalog, taker, "taker")
    addresses = {member.name: member.address for member in shard.replicas}
    tails = seal_tails(
        [(name, addresses.get(name, "")) for name in shard.tail_set],
        lambda address, options: grpc.insecure_channel(address, options=options),
        cluster_uid=topology.cluster_uid,
        shard=0,
        epoch=taker,
        timeout=_SEAL_SECONDS,
    )
    report = recover(catalog, directory, Target())
    store = open_store(directory / identity.STORE, create=False, keep_log=True)
    try:
        chosen = choose(report.lsn, report.clock_ms, tails)
        lsn = append(store, chosen.run) if chosen.run else report.lsn
        if store.position()[0] < shard.epoch:
            store.begin_epoch(shard.epoch)
        store.flush()
    finally:
        store.close()
    names = catalog.names
    identity.restore(
        directory, identity.Identity(claim.id, names.shard, names.cluster_uid, pending_epoch=shard.epoch)
    )
    return replace(report, lsn=lsn, epoch=shard.epoch)
