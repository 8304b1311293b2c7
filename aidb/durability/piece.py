"""`e<epoch>/log/<seq>`: a piece of the log, or the seal that ends the log of the epoch.

    piece header := place, id, previous_lsn, last_lsn, first_clock_ms, last_clock_ms, records, gap, start
    piece body   := (length:u32 record)*        the records as they are in the log (V2)
    seal header  := place, id, by_epoch, at_ms  no body

Sequence numbers of an epoch begin at 0 and have no hole; the seal takes the next free one. The pieces of a
lineage form one chain: each begins at the LSN at which the one before ended. A piece without records
proves ownership and nothing else: `previous_lsn` = `last_lsn`. ``gap``: log was lost before this piece, it
follows on nothing (D7). ``start``, in an epoch's first piece only, says from where the epoch continues:
{parent, cut}; what the parent's log holds beyond the cut is not part of the lineage.
"""

from __future__ import annotations

from dataclasses import dataclass

from aidb.durability.envelope import Header, Kind, Malformed, number, seal, text, unseal
from aidb.durability.identity import Place


@dataclass(frozen=True, slots=True)
class Start:
    """``parent`` 0 = the shard's first epoch."""

    parent: int
    cut: int


@dataclass(frozen=True, slots=True)
class Piece:
    """See the module."""

    place: Place
    id: str
    previous_lsn: int
    last_lsn: int
    first_clock_ms: int = 0
    last_clock_ms: int = 0
    records: int = 0
    gap: bool = False
    start: Start | None = None
    body: bytes | memoryview = b""

    def encode(self) -> bytes:
        header: Header = self.place.header() | {
            "id": self.id,
            "previous_lsn": self.previous_lsn,
            "last_lsn": self.last_lsn,
            "first_clock_ms": self.first_clock_ms,
            "last_clock_ms": self.last_clock_ms,
            "records": self.records,
        }
        if self.gap:
            header["gap"] = True
        if self.start:
            header["start"] = {"parent": self.start.parent, "cut": self.start.cut}
        return seal(Kind.PIECE, header, self.body)


@dataclass(frozen=True, slots=True)
class Seal:
    """``by_epoch`` is that of the taker. ``clock_ms``: where the log's owner sealed it itself, because it
    hands over (D6), its shard's clock; else 0.
    """

    place: Place
    id: str
    by_epoch: int
    at_ms: int
    clock_ms: int = 0

    def encode(self) -> bytes:
        header: Header = {"id": self.id, "by_epoch": self.by_epoch, "at_ms": self.at_ms}
        if self.clock_ms:
            header["clock_ms"] = self.clock_ms
        return seal(Kind.SEAL, self.place.header() | header)


def decode(data: bytes) -> Piece | Seal:
    """Raises Malformed."""
    kind, header, body = unseal(data, Kind.PIECE, Kind.SEAL)
    place, id = Place.of(header), text(header, "id")
    if kind is Kind.SEAL:
        clock_ms = number(header, "clock_ms") if "clock_ms" in header else 0
        return Seal(place, id, number(header, "by_epoch"), number(header, "at_ms"), clock_ms)
    piece = Piece(
        place=place,
        id=id,
        previous_lsn=number(header, "previous_lsn"),
        last_lsn=number(header, "last_lsn"),
        first_clock_ms=number(header, "first_clock_ms"),
        last_clock_ms=number(header, "last_clock_ms"),
        records=number(header, "records"),
        gap=bool(header.get("gap")),
        start=_start(header),
        body=body,
    )
    empty = piece.records == 0
    if piece.last_lsn < piece.previous_lsn or empty != (piece.last_lsn == piece.previous_lsn):
        raise Malformed(f"it holds {piece.records} records from {piece.previous_lsn} to {piece.last_lsn}")
    return piece


def _start(header: Header) -> Start | None:
    found = header.get("start")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise Malformed("its start is no JSON object")
    return Start(number(found, "parent"), number(found, "cut"))
