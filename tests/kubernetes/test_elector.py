"""Electors, which renew for real, with a real API server whose answers get lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from aidb_coordinator.clock import Clock
from aidb_coordinator.leadership.election import Rules
from aidb_coordinator.leadership.elector import Elector

from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.faulty import Faulty

CLOCK = Clock()
ODDS = 0.15
SECONDS = 120.0


@pytest.fixture
def electors(apiserver: ApiServer, namespace: str) -> Iterator[dict[str, Elector]]:
    """Three, which are stopped at the end unless the test has."""
    with contextlib.ExitStack() as stack:
        made = {}
        for seed, name in enumerate("abc"):
            api = Faulty(stack.enter_context(apiserver.client()), seed, ODDS)
            stack.callback(api.close)
            made[name] = Elector(
                api, namespace, "c-coordinator", name, {"aidb.io/cluster": "c"}, Rules.of(1), lambda: None
            )
        for elector in made.values():
            elector.start()
        yield made
        for elector in made.values():
            elector.stop()


def leading(electors: dict[str, Elector]) -> list[str]:
    """All at one moment, which is after each was asked: what was begun in between is not among it."""
    until = {name: elector.leadership.until for name, elector in electors.items()}
    now = CLOCK.monotonic()
    return [name for name, ends in until.items() if now < ends]


def test_two_never_lead_whatever_answers_are_lost(electors: dict[str, Elector]) -> None:
    seen: set[str] = set()
    ends = time.monotonic() + SECONDS
    while len(electors) > 1:
        assert time.monotonic() < ends, f"{seen} led, and then nobody"
        now = leading(electors)
        assert len(now) <= 1, f"{now} lead"
        if now:
            seen.update(now)
            # The next one need not wait, unless these words are lost as well.
            electors.pop(now[0]).stop()
        time.sleep(0.002)
    assert len(seen) == 2
