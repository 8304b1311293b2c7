"""Files of records: what `aidb import` reads and `aidb export` writes.

A format reads a binary stream into `Record`s and `Rejected`s, in the stream's order, and encodes a record
back so that reading the encoded form gives the same record. Memory is bounded by one record. No format does
any I/O but reading the stream given.
"""

from __future__ import annotations

from aidb.formats.choice import CHECKED_FIRST, FORMATS, Columns, Format, open_format
from aidb.formats.record import BEGINNING, BadFile, NotExpressible, Position, Record, Rejected

__all__ = [
    "BEGINNING",
    "CHECKED_FIRST",
    "FORMATS",
    "BadFile",
    "Columns",
    "Format",
    "NotExpressible",
    "Position",
    "Record",
    "Rejected",
    "open_format",
]
