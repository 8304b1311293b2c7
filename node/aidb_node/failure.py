"""The exceptions that the native module raises. It calls these functions by name."""

from __future__ import annotations

from aidb import errors


class StartRefused(Exception):
    """This program cannot start as asked: one line that says what, to what, what to do."""


class HandedOver(Exception):
    """The directory's shard was handed over in order (D6): nothing of it is needed any more."""


def make(code: int, message: str) -> errors.AidbError:
    """The error of a code of the registry."""
    kind = errors.BY_CODE.get(code)
    return errors.AidbError(message, code=code) if kind is None else kind(message)


def condition_failed(version: int, value: bytes | None) -> errors.ConditionFailed:
    message = f"the condition does not hold: the key has version {version}"
    if value is None:
        message = "the condition does not hold: there is no such key"
    return errors.ConditionFailed(message, current_version=version, current_value=value)


def open_refused(kind: str, message: str) -> errors.OpenRefused:
    """`kind` is the name of one of the kinds of OpenRefused."""
    kinds: dict[str, type[errors.OpenRefused]] = {
        "DirectoryLocked": errors.DirectoryLocked,
        "NotAStore": errors.NotAStore,
        "NewerFormat": errors.NewerFormat,
    }
    return kinds[kind](message)


def closed(message: str) -> errors.Closed:
    return errors.Closed(message)


class LogGap(Exception):
    """The log after ``asked`` is no longer there; what there is continues at ``oldest``."""

    def __init__(self, message: str, asked: int, oldest: int) -> None:
        super().__init__(message)
        self.asked = asked
        self.oldest = oldest


def log_gap(message: str, asked: int, oldest: int) -> LogGap:
    return LogGap(message, asked, oldest)


def start_refused(message: str) -> StartRefused:
    return StartRefused(message)
