"""One line per event on stderr: `time level program message key=value ...`."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Log:
    """Lines of one program."""

    def __init__(self, program: str, stream: TextIO | None = None) -> None:
        self._program = program
        self._stream = stream

    def info(self, message: str, **fields: object) -> None:
        self._write("INFO", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write("WARNING", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write("ERROR", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        parts = [stamp, level, self._program, _one_line(message)]
        parts += [f"{key}={_value(value)}" for key, value in fields.items()]
        print(*parts, file=self._stream or sys.stderr, flush=True)


def _value(value: object) -> str:
    text = _one_line(str(value))
    return text if text and not set(text) & set(' "=') else '"' + text.replace('"', "'") + '"'


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
