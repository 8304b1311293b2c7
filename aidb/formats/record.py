"""What readers of all formats yield."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """Between two records: ``offset`` bytes and ``line`` lines of the input lie before it."""

    offset: int = 0
    line: int = 0


BEGINNING = Position()


class Record(NamedTuple):
    """``end`` is where the next record begins. ``expires_at_ms`` counts from 1970, 0 = never."""

    key: bytes
    value: bytes
    end: Position
    expires_at_ms: int = 0


class Rejected(NamedTuple):
    """A piece of the input that is no record. ``line`` counts from 1 and is where the fault lies."""

    line: int
    reason: str
    end: Position


class NotExpressible(ValueError):
    """A record that the format cannot write such that reading it gives the same record."""


class BadFile(ValueError):
    """The file as a whole is not what was said of it, so that no record can be read."""
