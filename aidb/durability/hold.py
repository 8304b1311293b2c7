"""`hold/<id>`: somebody is at work here until some time. Who works looks at the others' holds *after* it
made its own, so that of two who begin at the same time at least one knows of the other.

    header := place, purpose, id, until_ms      no body

restore    of the manifest at ``place``: retention keeps it, and what it needs
snapshot   retention deletes no SSTs: the snapshot may count on one that no manifest names yet
retention  a snapshot waits until it is over
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aidb.durability.envelope import Kind, Malformed, number, seal, text, unseal
from aidb.durability.identity import Place


class Purpose(StrEnum):
    RESTORE = "restore"
    SNAPSHOT = "snapshot"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class Hold:
    """See the module."""

    place: Place
    purpose: Purpose
    id: str
    until_ms: int

    def encode(self) -> bytes:
        header = {"purpose": self.purpose.value, "id": self.id, "until_ms": self.until_ms}
        return seal(Kind.HOLD, self.place.header() | header)

    @classmethod
    def decode(cls, data: bytes) -> Hold:
        """Raises Malformed."""
        _, header, _ = unseal(data, Kind.HOLD)
        purpose = text(header, "purpose")
        if purpose not in list(Purpose):
            raise Malformed(f"its purpose is {purpose!r}, which this version does not know")
        return cls(Place.of(header), Purpose(purpose), text(header, "id"), number(header, "until_ms"))
