"""What records say besides time, level and message: of the program, of the work in hand, of one record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from logging import LogRecord
from typing import Any

# Of the program: replaced as a whole, so that a thread that formats sees one or the other.
_program: Mapping[str, object] = {}
_work: ContextVar[Mapping[str, object]] = ContextVar("aidb.logs.work", default={})  # noqa: B039 - never changed in place
_ATTRIBUTE = "aidb_fields"


def tell(**known: object) -> None:
    """Every record of this program says so from now on. None and "" take a field away."""
    global _program
    _program = _given({**_program, **known})


def begin(**known: object) -> None:
    """As `tell`, but nothing that was told before stays."""
    global _program
    _program = _given(known)


@contextmanager
def about(**known: object) -> Iterator[None]:
    """Records of this thread or task say so meanwhile."""
    token = _work.set({**_work.get(), **_given(known)})
    try:
        yield
    finally:
        _work.reset(token)


def fields(**known: object) -> dict[str, Any]:
    """``log.info("...", extra=fields(shard=3))``."""
    return {_ATTRIBUTE: known}


def of_program() -> Mapping[str, object]:
    return _program


def of_record(record: LogRecord) -> Mapping[str, object]:
    """Those of the work, and above them the record's own."""
    own: Mapping[str, object] = getattr(record, _ATTRIBUTE, {})
    work = _work.get()
    return {**work, **own} if work else own


def _given(known: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in known.items() if value is not None and value != ""}
