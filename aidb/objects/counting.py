"""Counts what is asked of a store: requests are what object stores charge for, bytes what networks do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aidb.objects.errors import Exists, NoSuchKey, ObjectError
from aidb.objects.store import ObjectStore, Stat

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Counted:
    """``failures`` of the requests; an answer that the key is taken, or that there is none, is no failure.
    ``bytes`` of bodies.
    """

    requests: int = 0
    failures: int = 0
    bytes: int = 0


class CountingStore:
    """A multipart upload counts as one request."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counted = {name: Counted() for name in ("get", "head", "list", "create", "delete")}

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def fenced(self) -> bool:
        return self._store.fenced

    def counted(self) -> dict[str, Counted]:
        """By operation, so far."""
        with self._lock:
            return {
                name: Counted(one.requests, one.failures, one.bytes) for name, one in self._counted.items()
            }

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        body = self._call("get", lambda: self._store.get(key, start, length))
        with self._lock:
            self._counted["get"].bytes += len(body)
        return body

    def create(self, key: str, body: bytes) -> None:
        self._call("create", lambda: self._store.create(key, body), len(body))

    def create_file(self, key: str, path: Path) -> None:
        self._call("create", lambda: self._store.create_file(key, path), path.stat().st_size)

    def head(self, key: str) -> Stat:
        return self._call("head", lambda: self._store.head(key))

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        return self._call("list", lambda: self._store.page(prefix, after))

    def delete(self, key: str) -> None:
        self._call("delete", lambda: self._store.delete(key))

    def close(self) -> None:
        self._store.close()

    def _call(self, operation: str, call: Callable[[], _Result], sent: int = 0) -> _Result:
        failed = False
        try:
            return call()
        except (Exists, NoSuchKey):
            raise
        except ObjectError:
            failed = True
            raise
        finally:
            with self._lock:
                one = self._counted[operation]
                one.requests += 1
                one.failures += failed
                one.bytes += sent
