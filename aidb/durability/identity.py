"""Where an object belongs: every one of a shard says so in its header, and is believed only if its name
agrees.
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.envelope import Header, Malformed, number, text


@dataclass(frozen=True, slots=True)
class Place:
    """``sequence`` is 0 where the kind of object has none."""

    cluster_uid: str
    shard: int
    epoch: int
    sequence: int = 0

    def header(self) -> Header:
        return {
            "cluster": self.cluster_uid,
            "shard": self.shard,
            "epoch": self.epoch,
            "sequence": self.sequence,
        }

    @classmethod
    def of(cls, header: Header) -> Place:
        """Raises Malformed."""
        return cls(
            cluster_uid=text(header, "cluster"),
            shard=number(header, "shard"),
            epoch=number(header, "epoch"),
            sequence=number(header, "sequence"),
        )

    def __str__(self) -> str:
        return f"{self.cluster_uid}/{self.shard} epoch {self.epoch} number {self.sequence}"


def check_place(found: Place, expected: Place) -> None:
    """Raises Malformed when an object was put where it does not belong."""
    if found != expected:
        raise Malformed(f"it belongs to {found}, not to {expected}")
