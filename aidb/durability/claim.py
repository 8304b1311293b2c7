"""`epoch/<n>`: who took the epoch, and from which one it continues. Never collected (D7).

header := place, id, owner, parent, at_ms          no body
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.envelope import Kind, number, seal, text, unseal
from aidb.durability.identity import Place


@dataclass(frozen=True, slots=True)
class Claim:
    """``id`` is the claimant's own random one: by it a claim is recognised whose answer was lost.
    ``parent`` 0 = none.
    """

    place: Place
    id: str
    owner: str
    parent: int
    at_ms: int

    def encode(self) -> bytes:
        header = {"id": self.id, "owner": self.owner, "parent": self.parent, "at_ms": self.at_ms}
        return seal(Kind.CLAIM, self.place.header() | header)

    @classmethod
    def decode(cls, data: bytes) -> Claim:
        """Raises Malformed."""
        _, header, _ = unseal(data, Kind.CLAIM)
        return cls(
            place=Place.of(header),
            id=text(header, "id"),
            owner=text(header, "owner"),
            parent=number(header, "parent"),
            at_ms=number(header, "at_ms"),
        )
