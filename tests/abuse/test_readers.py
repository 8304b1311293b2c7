"""Who asks and does not read gets no more memory than the limits say, and no place for ever."""

from __future__ import annotations

import pytest

from tests.abuse import readers
from tests.abuse.bounds import IN_FLIGHT, unharmed
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


@pytest.mark.parametrize("role", ROLES)
def test_who_reads_nothing_is_cut_off_and_who_reads_slowly_is_not(cluster: Cluster, role: str) -> None:
    address = cluster.target(role).address
    before = cluster.stats(role).connections.overdue
    silent = [unread(address, ask, 1, window) for ask in (readers.get, readers.scan) for window in (0, 1)]
    slow = unread(address, readers.topology, 1, 1 << 20)
    until(lambda: sip(slow) > -1 and all(ended(connection.socket) for connection in silent))
    assert cluster.stats(role).connections.overdue > before
    assert not ended(slow.socket)
    for connection in (*silent, slow):
        connection.close()
