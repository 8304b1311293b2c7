"""Is every acknowledged write there at the end, or a later one? What was not acknowledged may be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.checkers.history import Kind, Operation, Outcome, Violation, by_key
from tests.checkers.order import Writes

PROMISE = "durable"

Found = tuple[bytes | None, int]  # value and version; (None, 0) = no such key
ABSENT: Found = (None, 0)


def check(history: Iterable[Operation], found: Mapping[bytes, Found]) -> list[Violation]:
    """Every key whose newest acknowledged write was lost, or that holds what nobody wrote.

    ``found``: what was read after everything; keys without an entry were absent.
    """
    violations = []
    for key, operations in by_key(history).items():
        done = [write for write in operations if write.writes]
        if not done:
            continue
        value, version = found.get(key, ABSENT)
        end = max(write.end for write in done) + 1
        read = Operation(0, key, Kind.READ, value, end, end, version=version)
        acknowledged = [write for write in done if write.outcome is Outcome.OK]
        newest = max(acknowledged, key=lambda write: write.version, default=None)
        why = Writes(done).why_not(read, newest.version if newest else 0)
        if why is not None:
            held = f"it holds {value!r} v{version}"
            violations.append(Violation(PROMISE, newest or done[-1], f"{held}: {why}"))
    return violations
