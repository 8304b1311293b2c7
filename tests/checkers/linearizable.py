"""Is one key a linearizable register? Wing and Gong's search, in Lowe's just-in-time order, with a memo.

The search walks the calls and returns in time order and keeps every possible configuration: the register's
value and which of the open calls have taken effect. A call takes effect only when a return needs it. A set
of configurations is its own memo: two orders that led to the same one are followed once.

A write of unknown outcome stays open for ever. Two cuts keep those from doubling the search each, both exact
while the value was written only once and no swap of unknown outcome waits for it. Was it never seen, it may
as well take effect after the end. Was it seen, it took effect before the first that saw it returned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tests.checkers.history import Consistency, Kind, Operation, Outcome, Violation, by_key

PROMISE = "linearizable"
FOR_EVER = 1 << 63

# The register's value, and the open calls (by number) that have taken effect.
Configuration = tuple[bytes | None, frozenset[int]]


def check(history: Iterable[Operation], initial: bytes | None = None) -> list[Violation]:
    """The first violation of each key; reads count when they were strong."""
    violations = []
    for operations in by_key(history).values():
        relevant = [
            operation
            for operation in operations
            if operation.kind is not Kind.READ or operation.consistency is Consistency.STRONG
        ]
        violation = check_key(relevant, initial)
        if violation is not None:
            violations.append(violation)
    return violations


def check_key(operations: list[Operation], initial: bytes | None = None) -> Violation | None:
    """The return that no order of the operations explains; None = linearizable."""
    calls = _settle_unknown(operations)
    events = sorted(
        [(call.start, 0, number) for number, call in enumerate(calls)]
        + [(call.end, 1, number) for number, call in enumerate(calls) if call.end < FOR_EVER]
    )
    open_calls: dict[int, Operation] = {}
    configurations: set[Configuration] = {(initial, frozenset())}
    for _, returns, number in events:
        if not returns:
            open_calls[number] = calls[number]
            continue
        after = _after_return(configurations, number, open_calls)
        if not after:
            values = sorted({repr(value) for value, _ in configurations})
            return Violation(
                PROMISE, calls[number], f"before it the register can only be {', '.join(values)}"
            )
        del open_calls[number]
        configurations = after
    return None


def _settle_unknown(operations: list[Operation]) -> list[Operation]:
    written = Counter(operation.value for operation in operations if operation.writes)
    seen: dict[bytes | None, int] = {}
    for operation in operations:
        for value in _values_seen(operation):
            seen[value] = min(operation.end, seen.get(value, FOR_EVER))
    wanted = {operation.expected for operation in operations if operation.outcome is Outcome.UNKNOWN}
    calls = []
    for operation in operations:
        if operation.outcome is not Outcome.UNKNOWN:
            calls.append(operation)
        elif operation.value is None or written[operation.value] > 1 or operation.value in wanted:
            calls.append(replace(operation, end=FOR_EVER))
        elif operation.value in seen:
            calls.append(replace(operation, end=max(operation.start, seen[operation.value])))
    return calls


def _values_seen(operation: Operation) -> list[bytes | None]:
    if operation.kind is Kind.READ:
        return [operation.value]
    if operation.kind is Kind.SWAP and operation.outcome is not Outcome.UNKNOWN:
        return [operation.found if operation.outcome is Outcome.REFUSED else operation.expected]
    return []


def _after_return(
    configurations: set[Configuration], number: int, open_calls: dict[int, Operation]
) -> set[Configuration]:
    """The configurations in which call ``number`` has taken effect, the call itself forgotten."""
    done: set[Configuration] = set()
    visited: set[Configuration] = set()
    pending = list(configurations)
    while pending:
        configuration = pending.pop()
        if configuration in visited:
            continue
        visited.add(configuration)
        value, effective = configuration
        if number in effective:
            done.add((value, effective - {number}))
            continue
        possible = [
            candidate
            for candidate, call in open_calls.items()
            if candidate not in effective and _possible(call, value)
        ]
        # What leaves the register as it is costs nothing to take at once, and never has to be undone.
        still = [candidate for candidate in possible if not open_calls[candidate].writes]
        if still:
            pending.append((value, effective.union(still)))
            continue
        for candidate in _unlike(possible, open_calls):
            after = effective | {candidate}
            pending.append((open_calls[candidate].value, after))
    return done


def _unlike(possible: list[int], open_calls: dict[int, Operation]) -> list[int]:
    """One of each kind: of calls that stay open for ever and do the same, any is as good as another."""
    chosen: dict[object, int] = {}
    for number in possible:
        call = open_calls[number]
        alike = (call.kind, call.value, call.expected) if call.end == FOR_EVER else number
        chosen.setdefault(alike, number)
    return list(chosen.values())


def _possible(call: Operation, value: bytes | None) -> bool:
    """May ``call`` take effect on a register that holds ``value``?"""
    if call.kind is Kind.READ:
        return call.value == value
    if call.kind is Kind.WRITE:
        return True
    if call.outcome is Outcome.REFUSED:
        return value != call.expected and call.found == value
    return call.expected == value
