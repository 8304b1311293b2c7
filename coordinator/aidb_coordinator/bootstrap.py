"""Opening the stored topology: a new cluster, or the next term of an old one."""

from __future__ import annotations

import uuid

from aidb_coordinator import adoption
from aidb_coordinator import topology as topologies
from aidb_coordinator.placement import first_table
from aidb_coordinator.settings import Settings, SettingsError
from aidb_coordinator.store import Store, Stored
from aidb_coordinator.topology import Durability, Shard, Topology

DEFAULT_SHARDS = 3


def begin_term(store: Store, settings: Settings) -> Stored:
    """Stores the document under a new term and returns it; a store without one gets a new cluster with its
    uid (D8).

    Raises SettingsError when the settings, or the object store (D8), contradict the stored cluster,
    StoreError.
    """
    stored = store.load()
    adoption.check(settings, None if stored is None else stored.topology)
    if stored is None:
        return store.swap(None, topologies.with_term(new_cluster(settings), 1))
    topology = stored.topology
    if settings.cluster_uid and settings.cluster_uid != topology.cluster_uid:
        raise SettingsError(
            f"{settings.data} belongs to cluster {topology.cluster_uid}, not to {settings.cluster_uid}: "
            "name the data directory of that cluster"
        )
    topology = topologies.with_term(topology, topology.term + 1)
    if settings.mode is not None:
        topology = topologies.with_durability(topology, settings.mode)
    return store.swap(stored.revision, topology)


def new_cluster(settings: Settings) -> Topology:
    ids = range(DEFAULT_SHARDS if settings.shards is None else settings.shards)
    try:
        table = first_table(ids)
    except ValueError as error:
        raise SettingsError(f"--shards: {error}") from error
    return Topology(
        cluster_uid=settings.cluster_uid or str(uuid.uuid4()),
        slot_owners=table,
        shards=tuple(Shard(id=shard) for shard in ids),
        durability=settings.mode or Durability.ASYNC,
    )
