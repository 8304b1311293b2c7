"""How values of the engine are printed: for people on one line, or as documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from aidb.cli import output
from aidb.cli.exits import Exit
from aidb.cli.progress import Advance

_LONGEST_VALUE = 60


def document(kind: str, item: dict[str, Any]) -> None:
    """One of many, with ``type``; bytes that are no UTF-8 are in members whose names end in ``_base64``."""
    output.compact({"type": kind} | _plain(item))


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in item.items():
        if name == "sst_sha256" and value is not None:
            members[name] = value.hex()
        elif isinstance(value, bytes):
            members |= output.json_bytes(name, value)
        else:
            members[name] = _value(value)
    return members


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, bytes):
        return output.shown(value)
    if isinstance(value, list | tuple):
        return [_value(part) for part in value]
    return value if isinstance(value, int | bool | str | None) else str(value)


def value(content: bytes | None) -> str:
    """A value, cut to one line; ``None`` is a tombstone."""
    if content is None:
        return "(deleted)"
    shown = output.shown(content[:_LONGEST_VALUE])
    return shown if len(content) <= _LONGEST_VALUE else f"{shown}... ({len(content)} bytes)"


def key(content: bytes | None, default: str = "") -> str:
    return default if content is None else output.shown(content)


def moment(at_ms: int) -> str:
    """UTC, from milliseconds since 1970; 0, which nothing has happened at yet, is a dash."""
    if not at_ms:
        return "-"
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def damage(items: Iterable[dict[str, Any]]) -> int:
    """Print damage for people; the exit code that it means."""
    code = Exit.OK
    for item in items:
        print(f"damage in {item['file']} at byte {item['offset']}: {item['what']}")
        code = Exit.ERROR
    return int(code)


def restoring(advance: Advance) -> Callable[[str, int, int], None]:
    """What a restore or a drill tells, as progress."""

    def seen(what: str, done: int, total: int) -> None:
        if what == "tables":
            text = f"tables: {output.human_bytes(done)} of {output.human_bytes(total)}"
        elif what == "log":
            text = f"log: piece {done} of {total}"
        else:
            text = f"compared: {done} {what}"
        advance(0, text)

    return seen
