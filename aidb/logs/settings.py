"""The options of every program about its log, and what they are by default."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
FORMAT_VARIABLE = "AIDB_LOG_FORMAT"
LEVEL_VARIABLE = "AIDB_LOG_LEVEL"


def add_arguments(add: Callable[..., Any]) -> None:
    """``--log-format`` and ``--log-level``; else the environment says it. What is wrong there is refused as
    on the command line.
    """
    add(
        "--log-format",
        type=_one_of(FORMATS, FORMAT_VARIABLE),
        default=os.environ.get(FORMAT_VARIABLE) or FORMATS[0],
        metavar="|".join(FORMATS),
        help=f"of the records on stderr (${FORMAT_VARIABLE}, text)",
    )
    add(
        "--log-level",
        type=_one_of(LEVELS, LEVEL_VARIABLE),
        default=os.environ.get(LEVEL_VARIABLE) or "info",
        metavar="|".join(LEVELS),
        help=f"records below it are not written (${LEVEL_VARIABLE}, info)",
    )


def of_environment() -> tuple[str, str]:
    """Format and level, for programs without options of their own; what is wrong there counts as not
    given.
    """
    format, level = os.environ.get(FORMAT_VARIABLE, ""), os.environ.get(LEVEL_VARIABLE, "")
    return format if format in FORMATS else FORMATS[0], level if level in LEVELS else "info"


def _one_of(allowed: tuple[str, ...], variable: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(
                f"{text!r} is none of {', '.join(allowed)} (also as ${variable} in the environment)"
            )
        return text

    return checked
