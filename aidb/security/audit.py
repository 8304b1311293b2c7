"""The audit log: who did what is for administrators, when, and what became of it.

One JSON object a line, so that it can stand among other lines of a log; `aidb_audit` is what marks it, and
the number of its format:

{"aidb_audit": 1, "unix_ms": 1750000000000, "program": "coordinator", "who": "ci", "act": "MoveSlots",
 "asked": {...}, "outcome": "done"}

`who` is the name of a token, a kind of program, or the address where security is off. `outcome` is `done`,
or begins with `refused: ` or `failed: `. No secret gets here: the contracts have none in what administrators
ask.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
FILE = "audit.jsonl"
DONE = "done"
_MARK = '{"aidb_audit":'
# Of a file that commands append to; the one before it is kept.
_FILE_BYTES = 4 << 20
_ASKED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Act:
    """``unix_ms`` by the wall clock of the program that was asked."""

    unix_ms: int
    program: str
    who: str
    act: str
    asked: dict[str, Any] = field(default_factory=dict)
    outcome: str = DONE


def line(act: Act) -> str:
    """Without the end of the line."""
    return json.dumps(encode(act), separators=(",", ":"))


def encode(act: Act) -> dict[str, Any]:
    """What is asked for at great length is cut."""
    row: dict[str, Any] = {"aidb_audit": FORMAT, **asdict(act)}
    text = json.dumps(act.asked)
    if len(text) > _ASKED_BYTES:
        row["asked"] = {"cut": text[:_ASKED_BYTES]}
    return row


def decode(row: dict[str, Any]) -> Act:
    """Raises ValueError, TypeError or KeyError for what is none."""
    if row["aidb_audit"] != FORMAT:
        raise ValueError(f"an act of format {row['aidb_audit']}, this version knows {FORMAT}")
    return Act(
        int(row["unix_ms"]),
        str(row["program"]),
        str(row["who"]),
        str(row["act"]),
        dict(row["asked"]),
        str(row["outcome"]),
    )


def acts_in(lines: Iterable[str]) -> Iterator[Act]:
    """Those among the lines of any log; what stands before one, as the name of a pod, is passed over."""
    for text in lines:
        at = text.find(_MARK)
        if at < 0:
            continue
        try:
            yield decode(json.loads(text[at:]))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue


def append(path: Path, act: Act) -> None:
    """For commands; readable by the owner alone. Raises OSError."""
    content = (line(act) + "\n").encode()
    if path.exists() and path.stat().st_size + len(content) > _FILE_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, content)
    finally:
        os.close(file)
