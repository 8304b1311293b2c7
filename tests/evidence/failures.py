"""How often a fault hit a real client: the sends that failed below its automatic retries."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aidb.client import Client
from aidb.commands import Command
from aidb.failure import Failure
from aidb.policy import Cause, Transport

# The connection broke, or no answer came, under a call that had been sent.
LOST: frozenset[Cause] = frozenset({Transport.LOST, Transport.TIMEOUT})
Failures = Counter[Cause]


def count_failures(client: Client) -> Failures:
    """A counter of ``client``'s failed sends from now on, by cause; for clients of one thread."""
    failures: Failures = Counter()
    driver = client._driver
    perform = driver.perform

    def counted(command: Command) -> Any:
        answer = perform(command)
        for one in answer if isinstance(answer, list) else [answer]:
            if isinstance(one, Failure):
                failures[one.cause] += 1
        return answer

    driver.perform = counted  # type: ignore[method-assign]
    return failures


def lost(failures: Failures) -> int:
    """Calls that were under way when they lost their server."""
    return sum(failures[cause] for cause in LOST)


def refused(failures: Failures) -> int:
    """Calls that found nobody listening."""
    return failures[Transport.UNREACHABLE]
