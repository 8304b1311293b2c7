"""The log of a program, from its start on."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

from aidb.logs.formatting import JsonFormatter, TextFormatter
from aidb.logs.said import begin, fields
from aidb.logs.sparing import Sparing

log = logging.getLogger("aidb")


def set_up(program: str, format: str, level: str, **known: object) -> None:
    """Records of all libraries, warnings and what ends a thread go the same way. ``known``: what each record
    says, see `said.tell`.
    """
    begin(**known)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(program) if format == "json" else TextFormatter(program))
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _ended
    threading.excepthook = _thread_ended


def cannot_start(program: str, problem: object, *, json: bool) -> None:
    """The last line of a program that has not begun, or that goes on no more."""
    if json:
        log.error("%s", problem)
    else:
        print(f"{program}: {problem}", file=sys.stderr)


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("ended by a defect", exc_info=(kind, error, trace))


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit or ended.exc_value is None:
        return
    name = ended.thread.name if ended.thread is not None else "unknown"
    told = (ended.exc_type, ended.exc_value, ended.exc_traceback)
    log.critical("a thread was ended by a defect", exc_info=told, extra=fields(thread=name))
