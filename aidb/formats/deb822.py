"""The Debian control format (deb822): stanzas of ``Field: value`` lines, as in a ``Packages`` index.

A record is a stanza. Its value is the stanza's original bytes without the end of its last line; its key is
one of its fields. Rules (Debian policy 5.1): stanzas are separated by lines that hold nothing but blanks; a
line that begins with a blank continues the field above; a line that begins with ``#`` is a comment; field
names are printable ASCII without the colon, compared without case, and occur once. Comments inside a stanza
are part of its bytes; a block of comments alone is no record.

Rejected: decoding stanzas into fields and encoding them anew, as most libraries do. It loses folding, order
and comments, so an export would not give back what was imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from aidb.formats.lines import lines
from aidb.formats.record import BEGINNING, NotExpressible, Position, Record, Rejected

DEFAULT_KEY = "Package"
# The cluster refuses values beyond 16 MiB; a longer stanza is skipped without being held.
STANZA_LIMIT = 16 << 20

_FIELD = re.compile(rb"([!\"$-,.-9;-~][!-9;-~]*)[ \t]*:")
_LINE_END = b"\r\n"
_BLANKS = b" \t\r\n"


class Malformed(ValueError):
    """``line`` counts from 0 within the stanza."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read(stream: BinaryIO, key_field: str, start: Position = BEGINNING) -> Iterator[Record | Rejected]:
    """The stanzas of ``stream``, which stands at ``start``, keyed by the field ``key_field``."""
    wanted = key_field.lower().encode()
    stanza: list[bytes] = []
    size = 0
    begin = end = start
    for line in lines(stream, start, STANZA_LIMIT):
        if line.content.strip(_BLANKS) or not line.whole:
            if not stanza:
                begin = end
            size += len(line.content) if line.whole else STANZA_LIMIT + 1
            if size <= STANZA_LIMIT or not stanza:
                stanza.append(line.content)
            end = line.end
            continue
        end = line.end
        if stanza:
            yield from _finish(stanza, size, wanted, begin, end)
            stanza, size = [], 0
    if stanza:
        yield from _finish(stanza, size, wanted, begin, end)


def encode(value: bytes) -> bytes:
    """``value`` as a stanza with the empty line that ends it.

    Raises:
        NotExpressible: ``value`` is not one well-formed stanza.
    """
    if not value or value.strip(_LINE_END) != value:
        raise NotExpressible("it is empty or begins or ends with an end of line")
    content = value.split(b"\n")
    if not all(line.strip(_BLANKS) for line in content):
        raise NotExpressible("it holds an empty line")
    try:
        fields = _fields(content)
    except Malformed as error:
        raise NotExpressible(str(error)) from error
    if not fields:
        raise NotExpressible("it has no field")
    return value + b"\n\n"


def _finish(
    stanza: list[bytes], size: int, wanted: bytes, begin: Position, end: Position
) -> Iterator[Record | Rejected]:
    """The record of a stanza; nothing for a block of comments alone."""
    if size > STANZA_LIMIT:
        reason = f"the stanza is larger than {STANZA_LIMIT >> 20} MiB: leave it out or store it in parts"
        yield Rejected(begin.line + 1, reason, end)
        return
    try:
        fields = _fields(stanza)
        if fields:
            yield Record(_key(fields, wanted), b"".join(stanza).rstrip(_LINE_END), end)
    except Malformed as error:
        yield Rejected(begin.line + 1 + error.line, str(error), end)


def _fields(stanza: list[bytes]) -> dict[bytes, tuple[int, bytes, bool]]:
    """Lower-case field name -> its line, the value on that line, and whether more lines continue it.

    Raises:
        Malformed: the stanza breaks a rule.
    """
    fields: dict[bytes, tuple[int, bytes, bool]] = {}
    last = b""
    for number, line in enumerate(stanza):
        if line[0] in b" \t":
            if not last:
                raise Malformed(number, "a continuation line comes before the first field")
            first, value, continued = fields[last]
            if not continued:
                fields[last] = (first, value, True)
            continue
        if line[0] == 0x23:  # "#"
            continue
        found = _FIELD.match(line)
        if found is None:
            raise Malformed(number, f"expected 'Field: value', found {_shown(line)}")
        last = found[1].lower()
        if last in fields:
            raise Malformed(number, f"the field {found[1].decode()} occurs twice")
        fields[last] = (number, line[found.end() :].strip(_BLANKS), False)
    return fields


def _key(fields: dict[bytes, tuple[int, bytes, bool]], wanted: bytes) -> bytes:
    if wanted not in fields:
        raise Malformed(0, f"the stanza has no field {wanted.decode()}")
    line, key, continued = fields[wanted]
    if continued or not key:
        raise Malformed(
            line, f"the field {wanted.decode()} is {'folded' if continued else 'empty'}: it is no key"
        )
    return key


def _shown(line: bytes) -> str:
    text = line.strip(_BLANKS)
    return repr(text[:40].decode("utf-8", "backslashreplace")) + ("..." if len(text) > 40 else "")
