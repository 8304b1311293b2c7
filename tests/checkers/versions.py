"""Do the versions that servers report order the writes of a key? The other checkers rest on it (V1).

A version belongs to one value, and a write that starts after a version was seen (acknowledged, or read)
gets a higher one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from tests.checkers.history import Kind, Operation, Violation, by_key

PROMISE = "versions grow"


def check(history: Iterable[Operation]) -> list[Violation]:
    """Every breach, of every key."""
    violations = []
    for operations in by_key(history).values():
        violations += _one_value_each(operations)
        violations += _later_is_higher(operations)
    return violations


def _one_value_each(operations: list[Operation]) -> list[Violation]:
    violations = []
    values: dict[int, bytes | None] = {}
    versions: dict[bytes, int] = {}
    for operation in operations:
        if not operation.version:
            continue
        value = values.setdefault(operation.version, operation.value)
        if value != operation.value:
            violations.append(Violation(PROMISE, operation, f"that version was the one of {value!r}"))
        elif value is not None and versions.setdefault(value, operation.version) != operation.version:
            violations.append(Violation(PROMISE, operation, f"the value had version {versions[value]}"))
    return violations


def _later_is_higher(operations: list[Operation]) -> list[Violation]:
    """``operations`` by start: versions seen are known from the end of what saw them."""
    violations = []
    ended: list[tuple[int, int]] = []
    highest = 0
    for operation in operations:
        while ended and ended[0][0] < operation.start:
            highest = max(highest, heapq.heappop(ended)[1])
        if operation.version:
            if operation.kind is not Kind.READ and operation.version <= highest:
                why = f"version {highest} was seen before it started"
                violations.append(Violation(PROMISE, operation, why))
            heapq.heappush(ended, (operation.end, operation.version))
    return violations
