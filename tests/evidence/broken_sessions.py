"""Sessions that are told when a takeover lost what they saw: they go on as new ones (C5). And the load that
they make while primaries are replaced.
"""

from __future__ import annotations

import itertools
import random
import time
from contextlib import ExitStack

import aidb
from aidb import Entry
from aidb.client import Client
from tests.checkers.history import Consistency
from tests.evidence.crew import Work
from tests.evidence.recorder import Session
from tests.evidence.succession import Succession

WRITERS = 3
READERS = 2
CALL_SECONDS = 30.0
_PAUSE = 0.002

_numbers = itertools.count(1)


class TellingSession(Session):
    """Of one client. A `SessionBroken` ends the session and begins the next; anything else that no fault
    explains is a surprise.
    """

    def __init__(self, client: Client, rng: random.Random, lease: float) -> None:
        super().__init__(next(_numbers), [client], rng, lease)
        self.broken: list[tuple[int, int]] = []
        self.written: list[bytes] = []

    def put_own(self, key: bytes) -> None:
        """A write that the session will look for again."""
        before = self.record.counts["acknowledged"]
        self.put(key)
        if self.record.counts["acknowledged"] > before:
            self.written.append(key)

    def read_own(self) -> None:
        """One of its newest writes, where caches may answer."""
        if self.written:
            self.get(self.rng.choice(self.written[-20:]), Consistency.SESSION)

    def get(self, key: bytes, consistency: Consistency, bound: float = 0.0) -> Entry | None:
        entry = super().get(key, consistency, bound)
        self._is_told()
        return entry

    def put(self, key: bytes, padding: int = 0) -> None:
        super().put(key, padding)
        self._is_told()

    def _surprise(self, error: aidb.AidbError) -> None:
        if isinstance(error, aidb.SessionBroken):
            self.broken.append((error.token_lsn, error.cut_lsn))
            self.record.counts["sessions_broken"] += 1
        else:
            super()._surprise(error)

    def _is_told(self) -> None:
        if self.broken:
            # What it saw before is no promise any more.
            self.broken.clear()
            self._number = next(_numbers)
            self.written.clear()


def nap(seconds: float) -> None:
    """Load at a human pace: how long between two calls, not a guess that something is done."""
    time.sleep(seconds)


def load(
    stack: ExitStack, shard: Succession, rng: random.Random, prefix: bytes
) -> list[tuple[TellingSession, Work]]:
    """Writers of keys of their own, which they read again, and readers of what those have written, so that
    it is in caches. Their clients close with ``stack``.
    """

    def session() -> TellingSession:
        client = stack.enter_context(shard.connect(CALL_SECONDS))
        return TellingSession(client, random.Random(rng.random()), shard.lease)

    writers = [session() for _ in range(WRITERS)]

    def writing(number: int) -> Work:
        def work(session: Session) -> None:
            assert isinstance(session, TellingSession)
            if session.rng.random() < 0.6:
                session.put_own(prefix + b"w%d-" % number + session.unique())
            else:
                session.read_own()
            nap(_PAUSE)

        return work

    def reading(session: Session) -> None:
        newest = session.rng.choice(writers).written[-10:]
        if newest:
            session.get(session.rng.choice(newest), Consistency.SESSION)
        nap(_PAUSE)

    return [
        *((writer, writing(number)) for number, writer in enumerate(writers)),
        *((session(), reading) for _ in range(READERS)),
    ]
