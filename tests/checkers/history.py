"""What clients did and saw, as the checkers read it.

Times are nanoseconds of one monotonic clock. Values written to one key are all different, so a value names
its write; versions are what the servers said, and `versions.check` holds them against the times. A history
may hold operations on many keys; every checker takes it apart by key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an operation is to a single register."""

    READ = "read"
    WRITE = "write"  # of a value, or None: a delete
    SWAP = "swap"  # writes only if the value found is `expected`


class Outcome(StrEnum):
    """How it ended."""

    OK = "ok"
    REFUSED = "refused"  # a swap that found another value, `found`
    UNKNOWN = "unknown"  # a write or swap that may have happened, or may still happen at any later time


class Consistency(StrEnum):
    """What a read asked for."""

    STRONG = "strong"
    SESSION = "session"
    BOUNDED = "bounded"
    EVENTUAL = "eventual"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client. Failed reads and writes that certainly did not happen are not recorded.

    session: calls of one session follow each other, whatever client makes them.
    value: written, or read; None = no such key.
    version: of the value; 0 = none was learned (an absent key, an unknown outcome).
    bound_ns: what a read was promised at most to lag behind; None = nothing was.
    """

    session: int
    key: bytes
    kind: Kind
    value: bytes | None
    start: int
    end: int
    outcome: Outcome = Outcome.OK
    version: int = 0
    consistency: Consistency = Consistency.STRONG
    bound_ns: int | None = None
    expected: bytes | None = None
    found: bytes | None = None

    def __str__(self) -> str:
        what = f"{self.kind} {self.value!r}"
        if self.kind is Kind.SWAP:
            what += f" for {self.expected!r}"
        if self.outcome is not Outcome.OK:
            what += f" {self.outcome}"
        if self.kind is Kind.READ:
            what += f" ({self.consistency})"
        return (
            f"[{self.start / 1e6:.3f}..{self.end / 1e6:.3f} ms] session {self.session} "
            f"{self.key!r}: {what} v{self.version}"
        )

    @property
    def writes(self) -> bool:
        """It changed the key, or may have."""
        return self.kind is not Kind.READ and self.outcome is not Outcome.REFUSED


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that this history breaks: by which operation, and why."""

    promise: str
    operation: Operation
    why: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.operation}: {self.why}"


def by_key(history: Iterable[Operation]) -> dict[bytes, list[Operation]]:
    """The operations on each key, by start."""
    keys: dict[bytes, list[Operation]] = defaultdict(list)
    for operation in history:
        keys[operation.key].append(operation)
    for operations in keys.values():
        operations.sort(key=lambda operation: operation.start)
    return dict(keys)
