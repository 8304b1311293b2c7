"""The topology's history in an object store: what was owned by whom, and since when (D8, D9)."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace

from aidb.durability.catalog import Catalog
from aidb.durability.cluster_plan import as_of
from aidb.durability.envelope import Malformed
from aidb.durability.names import Names, last_number, topologies, topology
from aidb.durability.placement import Placement
from aidb.durability.stamp import ensure_stamp, shards
from aidb.durability.verification import Problem
from aidb.objects.errors import Damaged, Exists, NoSuchKey
from aidb.objects.store import ObjectStore, Stat, every

# What is younger stays, whatever the snapshots need.
_MINIMUM_AGE = 86_400.0
# Clocks of stores and coordinators differ.
_SLACK = 3600.0


@dataclass(frozen=True, slots=True)
class History:
    """Of one cluster. Methods raise `ObjectError`; `Damaged` names the object."""

    store: ObjectStore
    cluster_uid: str

    def versions(self) -> list[Stat]:
        """In order."""
        return list(every(self.store, topologies(self.cluster_uid)))

    def newest_version(self) -> int:
        """0 when there is none."""
        found = self.versions()
        return (last_number(found[-1].key) or 0) if found else 0

    def get(self, version: int) -> Placement:
        key = topology(self.cluster_uid, version)
        data = self.store.get(key)
        try:
            found = Placement.decode(data)
            found.check(self.cluster_uid, version)
            return found
        except Malformed as error:
            raise Damaged(f"{key} in {self.store.url}: {error}") from error

    def put(self, placement: Placement) -> Placement:
        """Keeps it, and returns what is kept under its version: another one, if somebody else was there
        first.
        """
        version = placement.topology.version
        with contextlib.suppress(Exists):
            self.store.create(topology(self.cluster_uid, version), placement.encode())
            return placement
        return self.get(version)

    def at(self, clock_ms: int) -> Placement:
        """What held then, as far as the versions know that are kept (`as_of`). Raises NoSuchKey when history
        begins later.
        """
        numbers = [last_number(stat.key) or 0 for stat in self.versions()]
        low, high = 0, len(numbers)
        found: Placement | None = None
        while low < high:
            middle = (low + high) // 2
            one = self.get(numbers[middle])
            if one.at_ms <= clock_ms:
                found, low = one, middle + 1
            else:
                high = middle
        if found is None:
            raise NoSuchKey(f"{topologies(self.cluster_uid)}* of clock {clock_ms} or before", self.store.url)
        later = self.get(numbers[low]).topology if low < len(numbers) else None
        return replace(found, topology=as_of(found.topology, later, clock_ms))


def damaged(history: History) -> tuple[int, list[Problem]]:
    """How many versions there are, and what is wrong with which. Raises ObjectError if the store is away."""
    problems = []
    stats = history.versions()
    for stat in stats:
        try:
            history.get(last_number(stat.key) or 0)
        except (Damaged, NoSuchKey) as error:
            problems.append(Problem(stat.key, str(error)))
    return len(stats), problems


def ensure_history(store: ObjectStore, cluster_uid: str) -> History:
    """The history in a store that is the cluster's, stamped if it is new.

    Raises:
        Damaged: the stamp is another's.
        ObjectError
    """
    ensure_stamp(store, cluster_uid)
    return History(store, cluster_uid)


def unneeded(history: History, now: float) -> list[Stat]:
    """Versions that held before the oldest snapshot of any shard was taken, but for the last of them.
    ``now`` in seconds since 1970.
    """
    oldest = now - _MINIMUM_AGE
    for shard in shards(history.store, history.cluster_uid):
        taken = _oldest_snapshot(Catalog(history.store, Names(history.cluster_uid, shard)))
        if taken is None:
            return []
        oldest = min(oldest, taken)
    # An object is made after its version began to hold: the last one made before surely held by then.
    before = [stat for stat in history.versions() if stat.modified < oldest - _SLACK]
    return before[:-1]


def collect(history: History, *, dry_run: bool) -> list[Stat]:
    """Deletes what is unneeded; returns it. Raises `ObjectError`."""
    found = unneeded(history, time.time())
    for stat in () if dry_run else found:
        history.store.delete(stat.key)
    return found


def _oldest_snapshot(catalog: Catalog) -> float | None:
    """When it was taken; None when a shard has none yet."""
    for epoch in catalog.claimed():
        for stat in catalog.manifests(epoch):
            return catalog.manifest(epoch, last_number(stat.key) or 0).at_ms / 1000
    return None
