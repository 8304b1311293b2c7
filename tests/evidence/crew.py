"""Threads that run sessions until they are told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from tests.evidence.recorder import Record, Session
from tests.threads import Threads

Work = Callable[[Session], None]


class Crew(Threads):
    """Each session does its work over and over."""

    def __init__(self, work: Sequence[tuple[Session, Work]]) -> None:
        super().__init__()
        self.sessions = [session for session, _ in work]
        self._crashes: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=pair, name=f"session-{number}")
            for number, pair in enumerate(work)
        ]

    def record(self) -> Record:
        """What all did; after the end. Raises what a session's thread died of."""
        if self._crashes:
            raise self._crashes[0]
        merged = Record()
        for session in self.sessions:
            merged.merge(session.record)
        return merged

    def _run(self, session: Session, work: Work) -> None:
        try:
            while not self._stop.is_set():
                work(session)
        except BaseException as error:
            self._crashes.append(error)
