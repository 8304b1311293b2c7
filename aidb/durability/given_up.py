"""Times that restores of the whole cluster gave up (D9).

A shard's archive knows by its epochs what a restore gave up; the topology's history has no such lineage, and
shards that are not there any more keep their archives. A restore to such a time would mix what was kept with
what was given up: it is refused. An object for each restore, made before anything is put in place:

    <cluster uid>/given-up/<from>-<until>       ms since 1970, sixteen digits

Rejected: a field of the topology, which is lost with the coordinator's directory, like the restore's own
version until the coordinator has archived it.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from aidb.durability.names import given_up
from aidb.objects.errors import Exists
from aidb.objects.store import ObjectStore, every

_SPAN = re.compile(r"(\d{16})-(\d{16})")


@dataclass(frozen=True, slots=True)
class GivenUp:
    """After ``from_ms``, to which the cluster was restored, and before ``until_ms``, when it was."""

    from_ms: int
    until_ms: int

    def holds(self, clock_ms: int) -> bool:
        return self.from_ms < clock_ms < self.until_ms

    def key(self, cluster_uid: str) -> str:
        return f"{given_up(cluster_uid)}{self.from_ms:016}-{self.until_ms:016}"


def give_up(store: ObjectStore, cluster_uid: str, span: GivenUp) -> None:
    """Raises ObjectError."""
    with contextlib.suppress(Exists):
        store.create(span.key(cluster_uid), b"the name says it\n")


def given_up_at(store: ObjectStore, cluster_uid: str, clock_ms: int) -> GivenUp | None:
    """Who gave this time up. Raises ObjectError."""
    for stat in every(store, given_up(cluster_uid)):
        found = _SPAN.fullmatch(stat.key.rpartition("/")[2])
        span = GivenUp(int(found[1]), int(found[2])) if found else None
        if span is not None and span.holds(clock_ms):
            return span
    return None
