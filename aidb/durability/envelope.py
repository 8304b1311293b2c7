"""What surrounds every object that is not an SST:

    object := "AIDB" kind:u8 format:u8 reserved:u16 header_length:u32 header body sha256 (32 bytes)

Little endian. ``header`` is a JSON object in UTF-8; what ``body`` is depends on the kind. The checksum covers
everything before it. ``reserved`` (compression, the id of a key) is 0: a reader refuses anything else, as
it does a kind or format that it does not know. A header may gain members; a reader that must know one
raises the format.
"""

from __future__ import annotations

import hashlib
import json
import struct
from enum import IntEnum
from typing import Any

MAGIC = b"AIDB"
FORMAT = 1
_HEAD = struct.Struct("<4sBBHI")
_SUM_BYTES = 32


class Kind(IntEnum):
    STAMP = 1
    CLAIM = 2
    PIECE = 3
    SEAL = 4
    MANIFEST = 5
    HOLD = 6
    TOPOLOGY = 7


class Malformed(Exception):
    """The bytes are not the object that they should be; the message says in what."""


Header = dict[str, Any]


def seal(kind: Kind, header: Header, body: bytes | memoryview = b"") -> bytes:
    """The object."""
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    head = _HEAD.pack(MAGIC, kind, FORMAT, 0, len(text))
    digest = hashlib.sha256(head)
    digest.update(text)
    digest.update(body)
    return b"".join((head, text, body, digest.digest()))


def unseal(data: bytes, *kinds: Kind) -> tuple[Kind, Header, memoryview]:
    """The parts of an object that is one of ``kinds``. Raises Malformed."""
    if len(data) < _HEAD.size + _SUM_BYTES:
        raise Malformed(f"it has {len(data)} bytes, less than any object of AiDb")
    magic, kind, format, reserved, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise Malformed("it is no object of AiDb")
    end = len(data) - _SUM_BYTES
    view = memoryview(data)
    if hashlib.sha256(view[:end]).digest() != view[end:]:
        raise Malformed("its checksum is wrong: it was damaged or cut short")
    if format != FORMAT:
        raise Malformed(f"it has format {format}, this version knows {FORMAT}: use a newer one")
    if reserved:
        raise Malformed("it is compressed or encrypted in a way that this version does not know")
    if kind not in kinds:
        wanted = " or ".join(one.name.lower() for one in kinds)
        found = Kind(kind).name.lower() if kind in list(Kind) else f"thing of kind {kind}"
        raise Malformed(f"it is a {found}, not a {wanted}")
    if _HEAD.size + length > end:
        raise Malformed("its header is longer than itself")
    try:
        header = json.loads(bytes(view[_HEAD.size : _HEAD.size + length]))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"its header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise Malformed("its header is no JSON object")
    return Kind(kind), header, view[_HEAD.size + length : end]


def number(header: Header, name: str) -> int:
    """A member that is a number of at most 64 bits without sign. Raises Malformed."""
    value = header.get(name)
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise Malformed(f"its {name} is {str(value)[:40]!r}, no number")
    return value


def text(header: Header, name: str) -> str:
    """A member that is a text of bearable length. Raises Malformed."""
    value = header.get(name)
    if not isinstance(value, str) or len(value) > 1000:
        raise Malformed(f"its {name} is no text")
    return value
