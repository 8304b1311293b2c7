"""JSON Lines: one JSON object a line. Two forms:

- Pairs: ``{"key": "k", "value": "v"}``. Text is stored as UTF-8; what is not valid UTF-8 is written as
  ``"key_base64"`` and ``"value_base64"``. A value that is no string is stored as its JSON text. An optional
  ``"expires_at_ms"`` (since 1970) goes with keys that expire. Other members are ignored.
- Whole records, when a key field is named: the value is the line's original bytes, the key is that member.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from aidb.formats.lines import Line, lines
from aidb.formats.record import BEGINNING, NotExpressible, Position, Record, Rejected

# A value of 16 MiB takes six times that when every byte is escaped as \u00xx.
LINE_LIMIT = 100 << 20

_BLANKS = b" \t\r\n"


class Malformed(ValueError):
    """The line is no record."""


def read(
    stream: BinaryIO, key_field: str | None = None, start: Position = BEGINNING
) -> Iterator[Record | Rejected]:
    """The records of ``stream``, which stands at ``start``; empty lines are skipped."""
    for line in lines(stream, start, LINE_LIMIT):
        if not line.content.strip(_BLANKS):
            continue
        try:
            yield _record(line, key_field)
        except Malformed as error:
            yield Rejected(line.end.line, str(error), line.end)


def encode(key: bytes, value: bytes, expires_at_ms: int = 0) -> bytes:
    """The pair as a line."""
    pair: dict[str, Any] = {**_member("key", key), **_member("value", value)}
    if expires_at_ms:
        pair["expires_at_ms"] = expires_at_ms
    return json.dumps(pair, ensure_ascii=False, separators=(", ", ": ")).encode() + b"\n"


def encode_whole(key: bytes, value: bytes, key_field: str) -> bytes:
    """``value`` as the line that it was imported from.

    Raises:
        NotExpressible: reading the line with this key field would give another record.
    """
    if b"\n" in value or value.strip(_BLANKS) != value:
        raise NotExpressible("it is not one line")
    try:
        found = _key_member(_object(value), key_field)
    except Malformed as error:
        raise NotExpressible(str(error)) from error
    if found != key:
        raise NotExpressible(f"its {key_field} is not its key")
    return value + b"\n"


def _record(line: Line, key_field: str | None) -> Record:
    if not line.whole:
        raise Malformed(f"the line is longer than {LINE_LIMIT >> 20} MiB")
    content = line.content.strip(_BLANKS)
    members = _object(content)
    if key_field is not None:
        return Record(_key_member(members, key_field), content, line.end)
    key = _bytes_member(members, "key")
    if not key:
        raise Malformed("the key is empty")
    expires = members.get("expires_at_ms", 0)
    if type(expires) is not int or not 0 <= expires < 2**63:
        raise Malformed("expires_at_ms is no time in milliseconds")
    return Record(key, _bytes_member(members, "value"), line.end, expires)


def _object(content: bytes) -> dict[str, Any]:
    try:
        members = json.loads(content)
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 at byte {error.start + 1} of the line") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise Malformed(f"JSON out of bounds: {error}") from error
    if not isinstance(members, dict):
        raise Malformed("expected a JSON object")
    return members


def _key_member(members: dict[str, Any], name: str) -> bytes:
    """Text or an integer."""
    if name not in members:
        raise Malformed(f"the object has no member {name!r}")
    value = members[name]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Malformed(f"the member {name!r} is neither text nor an integer: it is no key")
    key = _text(str(value))
    if not key:
        raise Malformed(f"the member {name!r} is empty: it is no key")
    return key


def _bytes_member(members: dict[str, Any], name: str) -> bytes:
    plain, encoded = members.get(name), members.get(f"{name}_base64")
    if (name in members) == (f"{name}_base64" in members):
        raise Malformed(f"expected one of {name!r} and '{name}_base64'")
    if name == "key" and name in members:
        return _key_member(members, name)
    if isinstance(plain, str):
        return _text(plain)
    if name in members:
        return _text(json.dumps(plain, ensure_ascii=False, separators=(",", ":")))
    if not isinstance(encoded, str):
        raise Malformed(f"'{name}_base64' is no text")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"'{name}_base64' is not base64: {error}") from error


def _text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("text with half a surrogate pair is not UTF-8: use base64") from error


def _member(name: str, content: bytes) -> dict[str, str]:
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode()}
