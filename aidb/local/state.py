"""What the supervisor says about its children: `supervisor.json`, replaced at each change.

Only for people and for `aidb up`; the supervisor itself never reads it back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from aidb.local.layout import write_atomically


@dataclass(frozen=True, slots=True)
class ChildState:
    """``pid`` 0 = not running. ``exit_code`` of the last end: negative = the signal, None = never ended."""

    pid: int
    restarts: int
    exit_code: int | None
    failures: int


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """``pid`` of the supervisor; its children by name, in start order."""

    pid: int
    children: dict[str, ChildState]


def write(path: Path, state: SupervisorState) -> None:
    """A full disk must not stop the supervisor: an old state is then what there is."""
    try:
        write_atomically(path, json.dumps(asdict(state), indent=1).encode(), durable=False)
    except OSError:
        return


def read(path: Path) -> SupervisorState | None:
    """None when there is none that this version can read."""
    try:
        found = json.loads(path.read_bytes())
        children = {name: ChildState(**child) for name, child in found["children"].items()}
        return SupervisorState(int(found["pid"]), children)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        return None
