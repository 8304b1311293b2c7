"""Who asks and does not read gets no more memory than the limits say, and no place for ever."""

from __future__ import annotations

import time

import pytest

from tests.abuse import readers
from tests.abuse.bounds import IN_FLIGHT, unharmed
from tests.abuse.conftest import PATIENCE_SECONDS
from tests.abuse.http2 import ended
from tests.abuse.readers import KEYS, LARGE_BYTES, Ask, sip, unread
from tests.abuse.targets import ROLES, Cluster
from tests.coordinator.process import until

CONNECTIONS, STREAMS = 4, 6
# Nothing; a byte, for which the transport takes the whole answer; all, and the socket is not read.
WINDOWS = (0, 1, 2**31 - 1)
CASES = [(role, ask) for role, asks in readers.OF.items() for ask in asks]


@pytest.mark.parametrize(("role", "ask"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_answers_that_nobody_reads(cluster: Cluster, role: str, ask: Ask) -> None:
    target = cluster.target(role)
    with unharmed(cluster, 3 * CONNECTIONS, in_flight=True):
        held = [
            unread(target.address, ask, STREAMS, window) for window in WINDOWS for _ in range(CONNECTIONS)
        ]
        target.serves()
        for connection in held:
            connection.close()


def test_the_questions_were_worth_more_than_the_limit() -> None:
    """Else the test above would prove nothing."""
    assert CONNECTIONS * STREAMS * len(WINDOWS) * len(KEYS) * LARGE_BYTES > 4 * IN_FLIGHT


def test_who_reads_nothing_is_cut_off(cluster: Cluster) -> None:
    before = {role: cluster.stats(role).connections.overdue for role in ROLES}
    silent = [
        unread(cluster.target(role).address, ask, 1, window)
        for role in ROLES
        for ask in (readers.get, readers.scan)
        for window in (0, 1)
    ]
    until(lambda: all(ended(connection.socket) for connection in silent), seconds=60.0)
    assert all(cluster.stats(role).connections.overdue > before[role] for role in ROLES)
    for connection in silent:
        connection.close()


def test_who_reads_slowly_is_not(cluster: Cluster) -> None:
    """For longer than the server looks twice, but not as long as it waits for an answer to its ping: these
    clients give none.
    """
    slow = [unread(cluster.target(role).address, readers.topology, 1, 1 << 20) for role in ROLES]
    enough = time.monotonic() + 2.5 * PATIENCE_SECONDS

    def long_enough() -> bool:
        for connection in slow:
            sip(connection)
        return time.monotonic() > enough

    until(long_enough)
    assert not any(ended(connection.socket) for connection in slow)
    for connection in slow:
        connection.close()
