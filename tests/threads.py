"""Threads that work from the begin to the end of a context."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Self


class Threads:
    """A context manager: all threads are started, and in the end told to stop and joined."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: Sequence[threading.Thread] = ()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
