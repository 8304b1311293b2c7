"""The topology in a ConfigMap, for the coordinator that leads.

    ConfigMap <cluster>-topology    `aidb.topology_file`, as in a directory; see `kubernetes.document`

Leadership is `leadership`'s; here it says how long a write may be tried. A leader that stood still while
another began writes nothing any more, whatever it believes: the new one's first act is a write of its term.
"""

from __future__ import annotations

from collections.abc import Callable

from aidb_coordinator.kubernetes.document import ConfigMapDocument
from aidb_coordinator.store import Store, Stored
from aidb_coordinator.store.content import decode, encode
from aidb_coordinator.topology import Topology

_ADVICE = "put a copy of it back; the object store, where there is one, has every version of it"


class KubernetesStore(Store):
    def __init__(self, document: ConfigMapDocument, leads_until: Callable[[], float]) -> None:
        self._document = document
        self._leads_until = leads_until
        self._count = 0

    def load(self) -> Stored | None:
        held = self._document.read()
        if held is None:
            return None
        topology, self._count = decode(self._document.place, held.content, _ADVICE)
        return Stored(topology, held.revision)

    def swap(self, expected: str | None, topology: Topology) -> Stored:
        held = self._document.write(expected, encode(topology, self._count + 1))
        self._count += 1
        return Stored(topology, held.revision)

    def leads_until(self) -> float:
        return self._leads_until()

    def close(self) -> None:
        """The leadership is given up by whoever began it."""
