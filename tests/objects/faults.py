"""A store that fails at random: an error of the server, an answer that is lost after the work was done, a
conflict, a pause. What it did is counted, so that a run can show that it met faults.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aidb.objects.errors import Unavailable
from aidb.objects.store import ObjectStore, Stat

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Odds:
    """Of each call."""

    error: float = 0.0
    lost_answer: float = 0.0
    conflict: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 0.05


class FaultyStore:
    def __init__(self, store: ObjectStore, odds: Odds, seed: int) -> None:
        self._store = store
        self._odds = odds
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def fenced(self) -> bool:
        return self._store.fenced

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        return self._call(lambda: self._store.get(key, start, length))

    def head(self, key: str) -> Stat:
        return self._call(lambda: self._store.head(key))

    def page(self, prefix: str, after: str = "") -> list[Stat]:
        return self._call(lambda: self._store.page(prefix, after))

    def delete(self, key: str) -> None:
        self._call(lambda: self._store.delete(key))

    def create(self, key: str, body: bytes) -> None:
        self._call(lambda: self._store.create(key, body), creates=True)

    def create_file(self, key: str, path: Path) -> None:
        self._call(lambda: self._store.create_file(key, path), creates=True)

    def close(self) -> None:
        self._store.close()

    def _call(self, call: Callable[[], _Result], *, creates: bool = False) -> _Result:
        if self._happens("slow", self._odds.slow):
            time.sleep(self._odds.slow_seconds)
        if creates and self._happens("conflict", self._odds.conflict):
            raise Unavailable("409 ConditionalRequestConflict (injected)")
        if self._happens("error", self._odds.error):
            raise Unavailable("500 InternalError (injected)")
        result = call()
        if self._happens("lost_answer", self._odds.lost_answer):
            raise Unavailable("the answer was lost (injected)")
        return result

    def _happens(self, what: str, odds: float) -> bool:
        with self._lock:
            happens = self._random.random() < odds
            self.met[what] += happens
        return happens
