"""For stores that do not refuse a second create (D4): a look before each create.

It keeps honest writers apart in time from overwriting each other; two that race are not kept apart. So the
old primary is fenced by its lease alone, and an `archived` write re-reads the claim of the epoch after its
object was stored.
"""

from __future__ import annotations

from pathlib import Path

from aidb.objects.errors import Exists, NoSuchKey
from aidb.objects.store import ObjectStore, Stat


class UnfencedStore:
    """``store`` with its creates as careful as can be."""

    fenced = False

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @property
    def url(self) -> str:
        return self._store.url

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        return self._store.get(key, start, length)

    def head(self, key: str) -> Stat:
        return self._store.head(key)

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        return self._store.page(prefix, after)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    def create(self, key: str, body: bytes) -> None:
        self._look(key)
        self._store.create(key, body)

    def create_file(self, key: str, path: Path) -> None:
        self._look(key)
        self._store.create_file(key, path)

    def close(self) -> None:
        self._store.close()

    def _look(self, key: str) -> None:
        try:
            self._store.head(key)
        except NoSuchKey:
            return
        raise Exists(key, self.url)
