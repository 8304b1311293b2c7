"""What an object store has of a cluster that is to be restored: who owned what, how far epochs went (D9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aidb.durability.catalog import Catalog
from aidb.durability.cluster_plan import as_of, cluster_plan
from aidb.durability.given_up import given_up_at
from aidb.durability.history import History
from aidb.durability.lineage import END
from aidb.durability.names import Names
from aidb.durability.placement import Placement
from aidb.durability.stamp import check_stamp, clusters
from aidb.objects.errors import NoSuchKey
from aidb.objects.store import ObjectStore
from aidb_coordinator import codec
from aidb_coordinator.recovering import pending
from aidb_coordinator.topology import Topology, TopologyError


@dataclass(frozen=True, slots=True)
class Archived:
    """``epochs``: the newest of each shard of ``then`` that was published, taken or claimed; 0 = it never had
    a primary.
    """

    newest: Topology
    then: Topology
    epochs: Mapping[int, int]


def source_uid(store: ObjectStore, but: str) -> str:
    """The only cluster that the store has objects of, ``but`` apart. Raises TopologyError, ObjectError."""
    found = [uid for uid in clusters(store) if uid != but]
    if len(found) != 1:
        listed = ", ".join(found) or "no cluster"
        raise TopologyError(f"{store.url} has objects of {listed}: name the uid of one")
    return found[0]


def read(store: ObjectStore, uid: str, clock_ms: int, known: Topology | None = None) -> Archived:
    """As the cluster was at ``clock_ms``; 0: as it is in its newest version. ``known``: what its coordinator
    has, which may be newer than the store's.

    Raises:
        TopologyError: it cannot go there; why.
        ObjectError
    """
    check_stamp(store, uid)
    history = History(store, uid)
    version = history.newest_version()
    current = None if known is None else codec.to_proto(known)
    if not version and current is None:
        raise TopologyError(f"{store.url} has no topology of cluster {uid}: it cannot be restored as a whole")
    newest = [history.get(version).topology] if version else []
    if current is not None:
        newest.append(current)
    last = codec.from_proto(max(newest, key=lambda one: one.version))
    if clock_ms:
        then = _at(history, clock_ms)
        if current is not None and current.version > version:
            then = replace(then, topology=as_of(then.topology, current, clock_ms))
        topology = codec.from_proto(then.topology)
        if pending(topology):
            raise TopologyError("the cluster was being restored at that time: choose one before or after")
    else:
        topology = _newest_whole(history, last)
    claimed = {shard.id: Catalog(store, Names(uid, shard.id)).newest_claim() for shard in topology.shards}
    epochs = {}
    for plan in cluster_plan(codec.to_proto(topology), newest, clock_ms or END):
        epochs[plan.shard] = max(plan.epoch, claimed[plan.shard])
        if epochs[plan.shard] and not claimed[plan.shard]:
            if topology.slot_counts[plan.shard]:
                raise TopologyError(f"{store.url} has nothing of shard {plan.shard}, which has slots")
            epochs[plan.shard] = 0
    return Archived(last, topology, epochs)


def _at(history: History, clock_ms: int) -> Placement:
    """Raises TopologyError, ObjectError."""
    span = given_up_at(history.store, history.cluster_uid, clock_ms)
    if span is not None:
        raise TopologyError(
            f"that time was given up when the cluster was restored to {span.from_ms} at {span.until_ms} "
            f"(ms since 1970): choose one that is not between them. (If that restore failed and was never "
            f"repeated, delete {span.key(history.cluster_uid)} in {history.store.url} and try again.)"
        )
    try:
        return history.at(clock_ms)
    except NoSuchKey as error:
        raise TopologyError(f"there is nothing so old any more: {error}") from error


def _newest_whole(history: History, last: Topology) -> Topology:
    """A restore that did not come to its end has changed the table, and given nothing up."""
    versions = list(history.versions()) if pending(last) else []
    while pending(last):
        if not versions:
            raise TopologyError(f"{history.store.url} has no version of before the restore that is under way")
        stat = versions.pop()
        last = codec.from_proto(history.get(int(stat.key.rpartition("/")[2])).topology)
    return last
