"""A value that is made of files, and made again when they change. Bad new files change nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")
T = TypeVar("T")


class Watched(Generic[R, T]):
    """``read`` gives the content, ``make`` the value; both may raise OSError or ValueError. Thread-safe.

    Content is compared, not times: a directory whose link was swapped, as Kubernetes does, looks no different
    otherwise. Files that do not fit each other may be caught half-way through their replacement, so a problem
    counts when the next look finds it again.
    """

    def __init__(self, read: Callable[[], R], make: Callable[[R], T]) -> None:
        self._read = read
        self._make = make
        self._lock = threading.Lock()
        self._content = read()
        self._suspect = ""
        self.value = make(self._content)
        self.problem = ""
        self.failures = 0
        self.renewals = 0

    def poll(self) -> bool:
        """Look again; True when there is another value. ``problem`` says what is wrong with the files, if
        anything.
        """
        with self._lock:
            try:
                content = self._read()
                if content == self._content:
                    self._suspect = self.problem = ""
                    return False
                value = self._make(content)
            except (OSError, ValueError) as error:
                self._suspected(str(error))
                return False
            self._content, self.value = content, value
            self._suspect = self.problem = ""
            self.renewals += 1
            return True

    def _suspected(self, problem: str) -> None:
        if problem == self._suspect and problem != self.problem:
            self.problem = problem
            self.failures += 1
        self._suspect = problem
