"""Patience: calls of a store again, with growing jittered pauses, within a time for all attempts.

A create whose answer was lost may have been done, so that its repetition finds the key taken. The content
tells: equal bytes are this create's own (objects carry the writer's id, or are named by their content).
What that proves of *when* it was done is nothing, therefore the archive of the log does not go through
here (D1).
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aidb.objects.errors import Exists, Unavailable
from aidb.objects.store import ObjectStore, Stat

_Result = TypeVar("_Result")
_COMPARE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds."""

    total: float = 60.0
    first_pause: float = 0.1
    longest_pause: float = 5.0

    def pause(self, attempt: int) -> float:
        """Before the attempt after number ``attempt`` (from 0)."""
        return min(self.longest_pause, self.first_pause * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)


class RetryingStore:
    """``stop`` set ends the patience: the last error is raised."""

    def __init__(
        self, store: ObjectStore, patience: Patience | None = None, stop: threading.Event | None = None
    ) -> None:
        self._store = store
        self._patience = patience or Patience()
        self._stop = stop or threading.Event()

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def fenced(self) -> bool:
        return self._store.fenced

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        return self._retry(lambda: self._store.get(key, start, length))

    def head(self, key: str) -> Stat:
        return self._retry(lambda: self._store.head(key))

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        return self._retry(lambda: self._store.page(prefix, after))

    def delete(self, key: str) -> None:
        self._retry(lambda: self._store.delete(key))

    def create(self, key: str, body: bytes) -> None:
        self._create(key, lambda: self._store.create(key, body), lambda: self._store.get(key) == body)

    def create_file(self, key: str, path: Path) -> None:
        self._create(key, lambda: self._store.create_file(key, path), lambda: self._holds(key, path))

    def close(self) -> None:
        self._store.close()

    def _create(self, key: str, create: Callable[[], None], is_own: Callable[[], bool]) -> None:
        lost_answers = 0

        def attempt() -> None:
            nonlocal lost_answers
            try:
                create()
            except Unavailable:
                lost_answers += 1
                raise

        try:
            self._retry(attempt)
        except Exists:
            if not lost_answers or not self._retry(is_own):
                raise

    def _holds(self, key: str, path: Path) -> bool:
        here, there = hashlib.sha256(), hashlib.sha256()
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(_COMPARE_BYTES), b""):
                here.update(chunk)
        start = 0
        while chunk := self._store.get(key, start, _COMPARE_BYTES):
            there.update(chunk)
            start += len(chunk)
        return here.digest() == there.digest()

    def _retry(self, call: Callable[[], _Result]) -> _Result:
        ends = time.monotonic() + self._patience.total
        attempt = 0
        while True:
            try:
                return call()
            except Unavailable as error:
                pause = self._patience.pause(attempt)
                attempt += 1
                if time.monotonic() + pause >= ends:
                    raise Unavailable(f"{error} (given up after {attempt} attempts)") from error
                if self._stop.wait(pause):
                    raise
