"""Does a session read its own writes, and never go back? (P, C5: a session that cannot is told, by
SESSION_BROKEN.)

Counts every read that carried the session's token, whatever it asked for besides: session, bounded and
strong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tests.checkers.history import Consistency, Kind, Operation, Outcome, Violation, by_key
from tests.checkers.order import Writes

PROMISE = "session"


def check(history: Iterable[Operation]) -> list[Violation]:
    """Every read that shows less than its session had seen."""
    violations = []
    for operations in by_key(history).values():
        writes = Writes(operations)
        seen: dict[int, int] = defaultdict(int)
        for operation in operations:  # by start, which is a session's own order
            if operation.kind is not Kind.READ:
                if operation.outcome is Outcome.OK:
                    seen[operation.session] = max(seen[operation.session], operation.version)
            elif operation.consistency is not Consistency.EVENTUAL:
                least = seen[operation.session]
                why = writes.why_not(operation, least)
                if why is not None:
                    violations.append(Violation(PROMISE, operation, f"{why}: its session had seen that"))
                else:
                    seen[operation.session] = writes.shown(operation, least) or least
    return violations
