"""Real clients that write down what they did and saw."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import aidb
from aidb import BatchResult, Entry
from tests.checkers.history import Consistency, Kind, Operation, Outcome

NS = 1_000_000_000
ASKED: dict[Consistency, aidb.Consistency] = {
    Consistency.STRONG: "strong",
    Consistency.SESSION: "session",
    Consistency.EVENTUAL: "eventual",
}


class Database(Protocol):
    """What sessions use of a client."""

    @property
    def session_token(self) -> bytes: ...
    def adopt_token(self, token: bytes) -> None: ...
    def get_entry(self, key: bytes, *, consistency: aidb.Consistency | None = None) -> Entry | None: ...
    def put(
        self, key: bytes, value: bytes, *, if_absent: bool = False, if_version: int | None = None
    ) -> int: ...
    def delete(self, key: bytes) -> int: ...
    def put_many(self, items: Mapping[bytes, bytes]) -> BatchResult: ...


@dataclass(slots=True)
class Record:
    """What the sessions of one round did; each thread has its own, `merge` joins them.

    surprises: errors that no fault explains. failures: calls that were not done, by what and why.
    slowest_read: seconds, retries included.
    """

    operations: list[Operation] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    slowest_read: float = 0.0

    def merge(self, other: Record) -> None:
        self.operations += other.operations
        self.surprises += other.surprises
        self.counts += other.counts
        self.failures += other.failures
        self.slowest_read = max(self.slowest_read, other.slowest_read)


class Session:
    """One client session: calls that follow each other. It may live in several clients by turns, its token
    handed over each time (C5).

    Writes that certainly did not happen and failed reads are counted, not recorded.
    """

    def __init__(self, number: int, clients: Sequence[Database], rng: random.Random, lease: float) -> None:
        self._number = number
        self._clients = list(clients)
        self._lease_ns = round(lease * NS)
        self._sequence = 0
        self.rng = rng
        self.record = Record()

    def unique(self, padding: int = 0) -> bytes:
        """A value that nobody else writes."""
        self._sequence += 1
        return b"%d.%d" % (self._number, self._sequence) + b"." * padding

    def get(self, key: bytes, consistency: Consistency, bound: float = 0.0) -> Entry | None:
        """A recorded read; ``bound`` in seconds, of a bounded one."""
        asked = aidb.bounded(bound) if consistency is Consistency.BOUNDED else ASKED[consistency]
        client = self._client()
        start = time.monotonic_ns()
        try:
            entry = client.get_entry(key, consistency=asked)
        except (aidb.Unavailable, aidb.DeadlineExceeded) as error:
            self._failed("reads", error)
            return None
        except aidb.AidbError as error:
            self._surprise(error)
            return None
        finally:
            self.record.slowest_read = max(self.record.slowest_read, (time.monotonic_ns() - start) / NS)
        bounds = {Consistency.STRONG: None, Consistency.BOUNDED: round(bound * NS)}
        self.record.counts[f"{consistency}_reads"] += 1
        self.record.operations.append(
            Operation(
                self._number,
                key,
                Kind.READ,
                entry.value if entry else None,
                start,
                time.monotonic_ns(),
                version=entry.version if entry else 0,
                consistency=consistency,
                # C3: what asks for no bound gets the lease time.
                bound_ns=bounds.get(consistency, self._lease_ns),
            )
        )
        return entry

    def put(self, key: bytes, padding: int = 0) -> None:
        value = self.unique(padding)
        self._write(key, Kind.WRITE, value, None, lambda client: client.put(key, value))

    def delete(self, key: bytes) -> None:
        self._write(key, Kind.WRITE, None, None, lambda client: client.delete(key))

    def swap(self, key: bytes) -> None:
        """Replace what a strong read found, or create what it did not, unless somebody was quicker."""
        failed = self.record.counts["failed_reads"]
        entry = self.get(key, Consistency.STRONG)
        if self.record.counts["failed_reads"] > failed:
            return
        value = self.unique()
        if entry is None:
            self._write(key, Kind.SWAP, value, None, lambda client: client.put(key, value, if_absent=True))
        else:
            version = entry.version
            self._write(
                key, Kind.SWAP, value, entry.value, lambda client: client.put(key, value, if_version=version)
            )

    def put_many(self, values: Mapping[bytes, bytes]) -> None:
        """One batch of independent items; each is recorded for itself."""
        start = time.monotonic_ns()
        try:
            result = self._client().put_many(values)
        except aidb.AidbError as error:
            result = BatchResult([0] * len(values), dict.fromkeys(range(len(values)), error))
        end = time.monotonic_ns()
        for index, (key, value) in enumerate(values.items()):
            write = Operation(
                self._number, key, Kind.WRITE, value, start, end, version=result.versions[index]
            )
            self._note(write, result.errors.get(index))

    def _write(
        self,
        key: bytes,
        kind: Kind,
        value: bytes | None,
        expected: bytes | None,
        call: Callable[[Database], int],
    ) -> None:
        client = self._client()
        failure: aidb.AidbError | None = None
        version = 0
        start = time.monotonic_ns()
        try:
            version = call(client)
        except aidb.AidbError as error:
            failure = error
        write = Operation(
            self._number, key, kind, value, start, time.monotonic_ns(), version=version, expected=expected
        )
        self._note(write, failure)

    def _note(self, write: Operation, failure: aidb.AidbError | None) -> None:
        counts = self.record.counts
        match failure:
            case None:
                counts["acknowledged"] += 1
                self.record.operations.append(write)
            case aidb.UnknownOutcome():
                counts["unknown"] += 1
                self.record.operations.append(_with(write, Outcome.UNKNOWN))
            case aidb.ConditionFailed():
                counts["refused"] += 1
                self.record.operations.append(_with(write, Outcome.REFUSED, failure.current_value))
            case aidb.Unavailable() | aidb.DeadlineExceeded():
                self._failed("writes", failure)
            case _:
                self._surprise(failure)

    def _client(self) -> Database:
        """The client that has the session now; now and then it goes to the next one."""
        if len(self._clients) > 1 and self.rng.random() < 0.2:
            token = self._clients[0].session_token
            self._clients.append(self._clients.pop(0))
            self._clients[0].adopt_token(token)
        return self._clients[0]

    def _failed(self, what: str, error: aidb.AidbError) -> None:
        self.record.counts[f"failed_{what}"] += 1
        self.record.failures[f"{what}: {type(error).__name__}"] += 1

    def _surprise(self, error: aidb.AidbError) -> None:
        self.record.surprises.append(f"session {self._number}: {type(error).__name__}: {error}")


def _with(write: Operation, outcome: Outcome, found: bytes | None = None) -> Operation:
    return Operation(
        write.session,
        write.key,
        write.kind,
        write.value,
        write.start,
        write.end,
        outcome,
        expected=write.expected,
        found=found,
    )
