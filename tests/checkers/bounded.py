"""Is any read staler than it was promised? (C3.)

A read with bound t that started at s shows the newest write acknowledged before s - t, or one that is newer
than it. Counting from the start is exact for one machine's clock: the server that answers judges its
staleness after s.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from tests.checkers.history import Kind, Operation, Outcome, Violation, by_key
from tests.checkers.order import Writes

PROMISE = "bounded"


def check(history: Iterable[Operation], allowance_ns: int = 0) -> list[Violation]:
    """Every read staler than its bound. ``allowance_ns``: how far the clocks of the history may differ."""
    violations = []
    for operations in by_key(history).values():
        writes = Writes(operations)
        acknowledged = [
            (operation.end, operation.version)
            for operation in operations
            if operation.kind is not Kind.READ and operation.outcome is Outcome.OK
        ]
        heapq.heapify(acknowledged)
        reads = [
            (operation.start - operation.bound_ns - allowance_ns, operation)
            for operation in operations
            if operation.kind is Kind.READ and operation.bound_ns is not None
        ]
        newest = 0
        for horizon, read in sorted(reads, key=lambda pair: pair[0]):
            while acknowledged and acknowledged[0][0] < horizon:
                newest = max(newest, heapq.heappop(acknowledged)[1])
            why = writes.why_not(read, newest)
            if why is not None:
                violations.append(
                    Violation(PROMISE, read, f"{why}: acknowledged {_ms(read.bound_ns)} before it started")
                )
    return violations


def _ms(bound_ns: int | None) -> str:
    return f"more than {(bound_ns or 0) / 1e6:.0f} ms"
