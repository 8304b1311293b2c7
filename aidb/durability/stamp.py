"""`<cluster uid>/cluster`: whose objects these are (D8).

header := cluster, at_ms      no body
"""

from __future__ import annotations

import time

from aidb.durability.envelope import Kind, Malformed, number, seal, text, unseal
from aidb.durability.names import stamp
from aidb.objects.errors import Damaged, Exists, NoSuchKey
from aidb.objects.store import ObjectStore, every


def ensure_stamp(store: ObjectStore, cluster_uid: str) -> None:
    """Stamps a store as one that holds the cluster's data, or finds that it is.

    Raises:
        Damaged: the stamp is another's.
        ObjectError
    """
    try:
        header = {"cluster": cluster_uid, "at_ms": time.time_ns() // 1_000_000}
        store.create(stamp(cluster_uid), seal(Kind.STAMP, header))
    except Exists:
        check_stamp(store, cluster_uid)


def check_stamp(store: ObjectStore, cluster_uid: str) -> None:
    """Raises NoSuchKey when the store has nothing of the cluster, Damaged."""
    key = stamp(cluster_uid)
    try:
        _, header, _ = unseal(store.get(key), Kind.STAMP)
        number(header, "at_ms")
        found = text(header, "cluster")
    except NoSuchKey as error:
        others = ", ".join(clusters(store)) or "no cluster"
        raise Damaged(
            f"{store.url} holds nothing of cluster {cluster_uid}, but of {others}: check the URL"
        ) from error
    except Malformed as error:
        raise Damaged(f"{key} in {store.url}: {error}") from error
    if found != cluster_uid:
        raise Damaged(
            f"{key} in {store.url} is the stamp of cluster {found}: the objects were copied or moved"
        )


def clusters(store: ObjectStore) -> list[str]:
    """The uids of all clusters in the store. One listing for each: stamps are the smallest key but claims."""
    found: list[str] = []
    after = ""
    while page := store.page("", after):
        uid = page[0].key.partition("/")[0]
        found.append(uid)
        # "0" follows "/": whatever else begins with the uid and a slash is passed.
        after = f"{uid}0"
    return sorted(uid for uid in found if _stamped(store, uid))


def shards(store: ObjectStore, cluster_uid: str) -> list[int]:
    """The shards of a cluster that have objects."""
    found = []
    after = f"{cluster_uid}/"
    while page := store.page(f"{cluster_uid}/", after):
        name = page[0].key.split("/")[1]
        if name.isdecimal():
            found.append(int(name))
        after = f"{cluster_uid}/{name}0"
    return sorted(found)


def _stamped(store: ObjectStore, uid: str) -> bool:
    return any(stat.key == stamp(uid) for stat in every(store, stamp(uid)))
