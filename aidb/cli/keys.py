"""`aidb get`, `put`, `delete`, `scan`."""

from __future__ import annotations

import base64
import binascii
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from aidb.cli import output
from aidb.cli.connection import connected
from aidb.cli.exits import Exit, Failure
from aidb.interface import Condition, Entry

# Beyond the largest value a cluster takes by default; a longer input is refused without being read to its
# end.
_VALUE_LIMIT = 64 << 20


def get(key: str, is_base64: bool, strong: bool, address: str | None, timeout: float, as_json: bool) -> None:
    """Print a value. Raises Failure when there is none."""
    name = _key(key, is_base64)
    with connected(address, timeout) as client:
        entry = client.get_entry(name, consistency="strong" if strong else None)
    if entry is None:
        raise Failure(f"no such key: {output.shown(name)}", Exit.NOT_FOUND)
    if as_json:
        output.document(_document(entry, keys_only=False))
    else:
        output.data(entry.value)


def put(
    key: str,
    is_base64: bool,
    value: str | None,
    file: Path | None,
    ttl: float | None,
    condition: Condition | None,
    address: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Write a value and say its version."""
    name, content = _key(key, is_base64), _value(value, file)
    asked = asdict(condition) if condition is not None else {}
    with connected(address, timeout) as client:
        version = client.put(name, content, ttl=ttl, **asked)
    _say_version("put", name, version, as_json)


def delete(
    key: str,
    is_base64: bool,
    condition: Condition | None,
    address: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Remove a key and say the deletion's version."""
    name = _key(key, is_base64)
    if_exists = condition is not None and condition.if_exists
    if_version = None if condition is None else condition.if_version
    with connected(address, timeout) as client:
        version = client.delete(name, if_exists=if_exists, if_version=if_version)
    _say_version("deleted", name, version, as_json)


@dataclass(frozen=True, slots=True)
class ScanRange:
    """What to scan; see `KeyValue.scan`."""

    prefix: bytes
    start: bytes
    end: bytes
    limit: int | None
    reverse: bool
    keys_only: bool
    ordered: bool

    @classmethod
    def of(
        cls,
        prefix: str,
        start: str,
        end: str,
        limit: int | None,
        reverse: bool,
        keys_only: bool,
        ordered: bool,
    ) -> Self:
        """From texts of the command line."""
        low, high = output.as_bytes(start), output.as_bytes(end)
        return cls(output.as_bytes(prefix), low, high, limit, reverse, keys_only, ordered)


def scan(what: ScanRange, address: str | None, timeout: float, as_json: bool) -> None:
    """Print entries as they come: a line each, or one list."""
    with connected(address, timeout) as client, client.scan(**asdict(what)) as entries:
        if not as_json:
            for entry in entries:
                key = output.shown(entry.key)
                output.line(key if what.keys_only else f"{key}\t{output.shown(entry.value)}")
            return
        output.listed(_document(entry, what.keys_only) for entry in entries)


def _key(text: str, is_base64: bool) -> bytes:
    if not is_base64:
        return output.as_bytes(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Failure(f"{text!r} is not base64: {error}", Exit.BAD_INPUT) from error


def _value(value: str | None, file: Path | None) -> bytes:
    """Exactly one source; standard input only when nothing else is given and it is no terminal."""
    if value is not None and file is not None:
        raise Failure("give VALUE or --file, not both", Exit.BAD_INPUT)
    if value is not None:
        return output.as_bytes(value)
    if file is None and sys.stdin.isatty():
        raise Failure("no value: give VALUE, --file FILE, or pipe it in", Exit.BAD_INPUT)
    try:
        if file is None:
            content = sys.stdin.buffer.read(_VALUE_LIMIT + 1)
        else:
            with file.open("rb") as stream:
                content = stream.read(_VALUE_LIMIT + 1)
    except OSError as error:
        raise Failure(f"cannot read {file or 'standard input'}: {error.strerror}", Exit.BAD_INPUT) from error
    if len(content) > _VALUE_LIMIT:
        raise Failure(f"the value is larger than {_VALUE_LIMIT >> 20} MiB: store it in parts", Exit.BAD_INPUT)
    return content


def _say_version(what: str, key: bytes, version: int, as_json: bool) -> None:
    if as_json:
        output.document({**output.json_bytes("key", key), "version": version})
    else:
        output.note(f"{what} {output.shown(key)} (version {version})")


def _document(entry: Entry, keys_only: bool) -> dict[str, Any]:
    found: dict[str, Any] = {**output.json_bytes("key", entry.key), "version": entry.version}
    if not keys_only:
        found |= output.json_bytes("value", entry.value)
    if entry.expires_at is not None:
        found["expires_at_ms"] = round(entry.expires_at * 1000)
    return found
