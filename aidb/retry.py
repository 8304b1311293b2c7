"""Waits between attempts, and the budget that all calls of a client share."""

from __future__ import annotations

import random
import threading

from aidb.options import Retry


def backoff(retry: Retry, failures: int, rng: random.Random) -> float:
    """Seconds to wait after ``failures`` (>= 1) failed attempts: full jitter, so that clients do not march in
    step.
    """
    return rng.uniform(0.0, min(retry.cap, retry.base * 2.0 ** min(failures - 1, 62)))


class RetryBudget:
    """A token bucket of retries: full at the start, filled by calls and by time. Thread-safe.

    Filling by calls keeps retries a fraction of the load; filling by time lets an idle client recover.
    """

    def __init__(self, retry: Retry, now: float) -> None:
        self._retry = retry
        self._tokens = retry.budget
        self._filled_at = now
        self._lock = threading.Lock()

    def called(self) -> None:
        """A call begins."""
        with self._lock:
            self._tokens = min(self._retry.budget, self._tokens + self._retry.per_call)

    def spend(self, now: float) -> bool:
        """Take one retry; False when none is left."""
        with self._lock:
            gained = max(0.0, now - self._filled_at) * self._retry.per_second
            self._filled_at = now
            self._tokens = min(self._retry.budget, self._tokens + gained)
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
