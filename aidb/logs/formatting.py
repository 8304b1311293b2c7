"""A record as a line.

text  2026-11-28T14:37:50.123Z INFO aidb-node/shard-0-primary registered epoch=3 term=1
json  {"time": "2026-11-28T14:37:50.123Z", "level": "INFO", "program": "aidb-node",
       "member": "shard-0-primary", "cluster": "6f...", "shard": 0, "epoch": 3, "message": "registered"}

In text, what the program says of itself is left out but for its member's name: people look at the log of one
program. A text line can be broken by nothing but a traceback; a JSON line by nothing at all.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping

from aidb.logs.said import of_program, of_record

# In this order, before everything else.
_FIRST = ("time", "level", "program", "member", "cluster", "shard", "epoch", "message")
_RESERVED = frozenset({"time", "level", "program", "message", "exception"})


class TextFormatter(logging.Formatter):
    """For people."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        member = of_program().get("member")
        # The local coordinator's name is what it is.
        who = f"{self._program}/{member}" if member and self._program != f"aidb-{member}" else self._program
        parts = [_stamp(record), record.levelname, who, one_line(record.getMessage())]
        parts += [f"{name}={_quoted(value)}" for name, value in of_record(record).items()]
        told = _exception(self, record)
        return " ".join(parts) + (f"\n{told}" if told else "")


class JsonFormatter(logging.Formatter):
    """For machines: an object in a line. Values that JSON does not have become text."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        said = {**of_program(), **of_record(record)}
        document: dict[str, object] = {f"{name}_" if name in _RESERVED else name: said[name] for name in said}
        document |= {"time": _stamp(record), "level": record.levelname, "program": self._program}
        document["message"] = record.getMessage()
        told = _exception(self, record)
        if told:
            document["exception"] = told
        return json.dumps(_ordered(document), default=str)


def one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _ordered(document: Mapping[str, object]) -> dict[str, object]:
    first = {name: document[name] for name in _FIRST if name in document}
    return first | {name: value for name, value in document.items() if name not in first}


def _stamp(record: logging.LogRecord) -> str:
    """UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.created * 1000) % 1000:03d}Z"


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _quoted(value: object) -> str:
    text = one_line(str(value))
    return text if text and not set(text) & set(' "=') else '"' + text.replace('"', "'") + '"'
