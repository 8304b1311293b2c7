"""Lines of a binary stream, in bounded memory however long a line is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from aidb.formats.record import Position

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """``content`` includes the line's end. Of a line longer than the limit, ``content`` is the beginning."""

    content: bytes
    whole: bool
    end: Position


def lines(stream: BinaryIO, start: Position, limit: int) -> Iterator[Line]:
    """The lines of ``stream``, which stands at ``start``; a UTF-8 byte order mark before the first is
    dropped.
    """
    offset, number = start
    while piece := stream.readline(limit):
        offset += len(piece)
        number += 1
        whole = piece.endswith(b"\n") or len(piece) < limit
        rest = piece
        while not rest.endswith(b"\n") and (rest := stream.readline(limit)):
            offset += len(rest)
            whole = False
        if number == 1:
            piece = piece.removeprefix(BYTE_ORDER_MARK)
        yield Line(piece, whole, Position(offset, number))
