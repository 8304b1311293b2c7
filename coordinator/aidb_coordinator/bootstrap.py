"""Opening the stored topology: a new cluster, or the next term of an old one."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace

from aidb.objects.errors import ObjectError
from aidb.objects.opening import connect
from aidb_coordinator import adoption, archived, recovering
from aidb_coordinator import topology as topologies
from aidb_coordinator.placement import first_table
from aidb_coordinator.settings import Settings, SettingsError
from aidb_coordinator.store import Conflict, LeadershipEnded, Store, Stored
from aidb_coordinator.topology import Durability, Recovery, Shard, Topology, TopologyError

log = logging.getLogger("aidb.coordinator")

DEFAULT_SHARDS = 3
# Id of the restore that a new cluster begins with.
BOOTSTRAP = "bootstrap"


def begin_term(store: Store, settings: Settings) -> Stored:
    """Stores the document under a new term and returns it; a store without one gets a new cluster with its
    uid (D8).

    Raises SettingsError when the settings, or the object store (D8), contradict the stored cluster,
    StoreError.
    """
    while True:
        try:
            return _begin(store, settings)
        except LeadershipEnded:
            raise
        except Conflict as error:
            # The one that led before has written its last: it is read again, and cannot write any more.
            log.info("the topology is read again: %s", error)


def _begin(store: Store, settings: Settings) -> Stored:
    stored = store.load()
    adoption.check(settings, None if stored is None else stored.topology)
    if stored is None:
        made = recovered_cluster(settings) if settings.recover_from else new_cluster(settings)
        return store.swap(None, topologies.with_term(made, 1))
    topology = stored.topology
    if settings.cluster_uid and settings.cluster_uid != topology.cluster_uid:
        raise SettingsError(
            f"{settings.place} belongs to cluster {topology.cluster_uid}, not to {settings.cluster_uid}: "
            "name where that cluster is kept"
        )
    topology = topologies.with_term(topology, topology.term + 1)
    if settings.mode is not None:
        topology = topologies.with_durability(topology, settings.mode)
    return store.swap(stored.revision, topology)


def recovered_cluster(settings: Settings) -> Topology:
    """With the shards and slots of another cluster, out of whose objects they are restored.

    The newest is a time as well: shards that restore themselves at different moments while the source lives
    must not disagree on who has which slots. Raises SettingsError.
    """
    uid = settings.cluster_uid or str(uuid.uuid4())
    now_ms = time.time_ns() // 1_000_000
    if settings.recover_time > now_ms:
        raise SettingsError(f"--recover-time {settings.recover_time} is after now, {now_ms}")
    try:
        store = connect(settings.recover_from)
        try:
            source = settings.recover_uid or archived.source_uid(store, uid)
            if source == uid:
                raise SettingsError(f"--recover-uid {source} is this cluster's own: aidb-admin recover")
            found = archived.read(store, source, settings.recover_time)
        finally:
            store.close()
    except (ObjectError, TopologyError) as error:
        raise SettingsError(f"cannot begin with what is in {settings.recover_from}: {error}") from error
    clock_ms = settings.recover_time or now_ms + settings.clock_bound_ms
    recovery = Recovery(BOOTSTRAP, source, clock_ms, url=settings.recover_from)
    made = recovering.new_cluster(found.newest, found.then, found.epochs, recovery, uid)
    return made if settings.mode is None else replace(made, durability=settings.mode)


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
