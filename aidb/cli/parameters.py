"""Parameters that several commands share, and how their texts become values."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)")


class Output(StrEnum):
    """``-o``."""

    TABLE = "table"
    JSON = "json"


class FileFormat(StrEnum):
    """``--format``."""

    DEB822 = "deb822"
    JSONL = "jsonl"


class Sync(StrEnum):
    """``--sync``."""

    GROUP = "group"
    INTERVAL = "interval"
    NONE = "none"


class Durability(StrEnum):
    """``--durability``."""

    ASYNC = "async"
    REPLICA = "replica"
    ARCHIVED = "archived"


def duration(text: str | float) -> float:
    """Seconds from ``90``, ``1.5s``, ``200ms``, ``5m``, ``2h`` or ``7d``; defaults come as numbers."""
    if isinstance(text, float):
        return text
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not seconds > 0:
        raise typer.BadParameter(f"{text!r} is no duration: give seconds, or a number with ms, s, m, h or d")
    return seconds


Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="host:port of the coordinator (data commands take any program's).  "
        "[default: $AIDB_ADDRESS, the cluster in $AIDB_DATA or ./.aidb, 127.0.0.1:7400]",
        metavar="HOST:PORT",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", help="how long an answer may take", parser=duration, metavar="DURATION"),
]
Format = Annotated[Output, typer.Option("-o", "--output", help="how to print")]
Data = Annotated[
    Path,
    typer.Option(
        "--data", envvar="AIDB_DATA", help="the cluster's directory", metavar="DIR", show_default=".aidb"
    ),
]
Key = Annotated[str, typer.Argument(help="the key, as the bytes the shell passes")]
Base64 = Annotated[bool, typer.Option("--base64", help="KEY is given in base64")]
