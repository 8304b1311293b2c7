"""What an operation asks of the driver that runs it.

Operations are generators without I/O: they yield commands and are sent the answers. The synchronous and the
asyncio client differ only in how they perform these commands, so that every rule of routing exists once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from aidb.attempts import Pause
from aidb.hedging import Target
from aidb.interface import Entry
from aidb.v1 import storage_pb2

T = TypeVar("T")


class Stream(Protocol):
    """An open scan at one server."""

    def cancel(self) -> None:
        """End it; idempotent, needs no event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Spare:
    """Another member that may answer a read, and what kind of member the first one is."""

    address: str
    target: Target


@dataclass(frozen=True, slots=True)
class FromSpare:
    """The answer of a call's spare, which was quicker."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Call:
    """Answered by the response message or a `Failure`; with a ``spare``, perhaps by `FromSpare`.

    ``deadline`` is on the routing's clock; ``at_most`` is the longest wait in seconds from when the call is
    sent, which
    may be later than now: parts of a large batch queue.
    """

    address: str
    method: str
    request: Any
    deadline: float
    at_most: float
    shard: int | None = None
    spare: Spare | None = None

    def timeout(self, now: float) -> float:
        """Seconds to wait when it is sent at ``now``; not positive = too late to send."""
        return min(self.at_most, self.deadline - now)


@dataclass(frozen=True, slots=True)
class CallAll:
    """Calls made side by side, at most `Pool.workers` at a time; answered by the list of their answers."""

    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Open:
    """Answered by a `Stream` that ends after ``timeout`` seconds. Failures show at the first `Next`."""

    address: str
    request: storage_pb2.ScanRequest
    timeout: float
    shard: int


@dataclass(frozen=True, slots=True)
class Next:
    """Answered by the next message, None at the stream's end, or a `Failure`."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Emit:
    """An entry for the application."""

    entry: Entry


Command = Call | CallAll | Pause | Open | Next | Emit
Operation = Generator[Command, Any, T]
