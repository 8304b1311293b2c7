"""Parameters that several commands share, and how their texts become values."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli import documents
from aidb.cli.exits import Exit, Failure

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)")


class Output(StrEnum):
    """``-o``. Commands see ``TABLE`` or ``JSON``, which stands for a document in either encoding: see
    `encoding`.
    """

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def encoding(context: typer.Context, chosen: Output) -> Output:
    """What the command is to print; how documents are written is settled here. Raises Failure."""
    source = context.get_parameter_source("output")
    if not context.resilient_parsing and source is not None and source.name != "COMMANDLINE":
        from aidb.cli.connection import find_output

        chosen = Output(find_output() or chosen)
    documents.write_as_yaml(chosen is Output.YAML)
    return Output.JSON if chosen is Output.YAML else chosen


class FileFormat(StrEnum):
    """``--format``."""

    DEB822 = "deb822"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"


class Sync(StrEnum):
    """``--sync``."""

    GROUP = "group"
    INTERVAL = "interval"
    NONE = "none"


class LogFormat(StrEnum):
    """``--log-format``."""

    TEXT = "text"
    JSON = "json"


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


def clock_ms(option: str, text: str) -> int:
    """Milliseconds since 1970 from ``2026-01-31T12:00:00Z`` (UTC without a zone), or such a number itself.
    Raises Failure.
    """
    try:
        if re.fullmatch(r"\d{12,14}", text):
            return int(text)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        what = f"{option} {text} is no time: as in 2026-01-31T12:00:00Z, or in ms since 1970"
        raise Failure(what, Exit.BAD_INPUT) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="of the coordinator (data commands take any program's)",
        metavar="HOST:PORT",
        show_default="$AIDB_ADDRESS, the profile's, the cluster in $AIDB_DATA or ./.aidb, 127.0.0.1:7400",
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", help="how long an answer may take", parser=duration, metavar="DURATION"),
]
Format = Annotated[
    Output,
    typer.Option("-o", "--output", help="for people, or one document for programs", callback=encoding),
]
Data = Annotated[
    Path,
    typer.Option(
        "--data", envvar="AIDB_DATA", help="the cluster's directory", metavar="DIR", show_default=".aidb"
    ),
]
Key = Annotated[str, typer.Argument(help="the key, as the bytes the shell passes")]
Base64 = Annotated[bool, typer.Option("--base64", help="KEY is given in base64")]
