"""Exit codes, stable: scripts depend on them. `docs/cli.md` lists them."""

from __future__ import annotations

from enum import IntEnum

from aidb.errors import (
    AidbError,
    ConditionFailed,
    DeadlineExceeded,
    RequestError,
    SecurityError,
    Unavailable,
    UnknownOutcome,
    Unsupported,
)


class Exit(IntEnum):
    """What the shell sees."""

    OK = 0
    ERROR = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    CONDITION_FAILED = 4
    UNAVAILABLE = 5
    REJECTED = 6
    UNKNOWN_OUTCOME = 7
    DENIED = 8
    INTERRUPTED = 130


class Failure(Exception):
    """Ends the command with ``message`` on stderr and ``code``. The message says what, to what, and what to
    do.
    """

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code


def exit_of(error: AidbError) -> Exit:
    """The exit code that stands for ``error``."""
    if isinstance(error, ConditionFailed):
        return Exit.CONDITION_FAILED
    if isinstance(error, UnknownOutcome):
        return Exit.UNKNOWN_OUTCOME
    if isinstance(error, SecurityError):
        return Exit.DENIED
    if isinstance(error, Unavailable | DeadlineExceeded):
        return Exit.UNAVAILABLE
    if isinstance(error, RequestError) and not isinstance(error, Unsupported):
        return Exit.BAD_INPUT
    return Exit.ERROR
