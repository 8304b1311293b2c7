"""The interface of an object store.

Objects are immutable. The one condition that is ever asked for is "create if absent": of any number of
creates of one key, one succeeds and the others raise `Exists`. After a create returned, and after one
raised `Exists`, the object survives a crash of the store and every reader sees it.

Calls block, are safe from several threads, and make one attempt within bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aidb.objects.errors import Unusable

PAGE = 1000
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class Stat:
    """``modified`` is the store's time of the create, in seconds since 1970."""

    key: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """Every method raises `ObjectError`."""

    @property
    def url(self) -> str:
        """Where it is, for messages; without secrets."""

    @property
    def fenced(self) -> bool:
        """Whether creates are exclusive even when they race. If not, fencing leans on leases alone (D4)."""

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The object's bytes from ``start`` on, ``length`` of them; fewer when it ends before."""

    def create(self, key: str, body: bytes) -> None: ...

    def create_file(self, key: str, path: Path) -> None:
        """As `create`, of a file that nobody changes meanwhile."""

    def head(self, key: str) -> Stat: ...

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        """The first `PAGE` objects, in order of their keys, that begin with ``prefix`` and come after
        ``after``.
        """

    def delete(self, key: str) -> None:
        """It is not there when this returns, whether or not it was."""

    def close(self) -> None: ...


def every(store: ObjectStore, prefix: str, after: str = "") -> Iterator[Stat]:
    """All objects that begin with ``prefix`` and come after the key ``after``, page by page."""
    while True:
        page = store.page(prefix, after)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].key


def check_key(key: str) -> str:
    """The key, if it is one that every store takes: slashes between names of letters, digits, ``.``,
    ``_``, ``-``.
    """
    if len(key) > 900 or not all(_SEGMENT.fullmatch(part) for part in key.split("/")):
        raise Unusable(f"{key[:200]!r} is no key of an object: names of A-Z a-z 0-9 . _ - between slashes")
    return key
