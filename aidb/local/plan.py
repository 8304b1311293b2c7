"""What the supervisor does next, as functions of what it wants and what it sees. No I/O, no clock of its
own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from aidb.local.processes import Running
from aidb.local.programs import Program

# Seconds. A program that lived this long starts with a clean record when it ends.
STABLE = 10.0
FIRST_BACKOFF = 0.2
LONGEST_BACKOFF = 15.0
# Between the first starts of programs that join a cluster.
NEWCOMER_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class History:
    """Of one program. Times are seconds of a monotonic clock; ``started`` None = it does not run.

    ``failures`` counts short lives in a row, ``restarts`` every start after the first.
    """

    started: float | None = None
    not_before: float = 0.0
    failures: int = 0
    starts: int = 0

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)


def after_start(history: History, now: float) -> History:
    """It was started, or found running."""
    return replace(history, started=now, starts=history.starts + 1)


def after_exit(history: History, now: float) -> History:
    """It ended. One that had run well is started again at once, one that keeps ending waits twice as long
    each time.
    """
    lived = 0.0 if history.started is None else now - history.started
    if lived >= STABLE:
        return replace(history, started=None, failures=0, not_before=now)
    backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(history.failures, 16))
    return replace(history, started=None, failures=history.failures + 1, not_before=now + backoff)


def due(
    programs: Iterable[Program], histories: dict[str, History], listening: Collection[int], now: float
) -> list[Program]:
    """The programs to start now. ``listening``: the needed ports on which somebody listens."""
    return [
        program
        for program in programs
        if histories[program.name].started is None
        and histories[program.name].not_before <= now
        and (program.needs is None or program.needs in listening)
    ]


def is_newcomer(program: Program, histories: dict[str, History], first: Collection[str]) -> bool:
    """It joins a cluster that began with the ``first``, and has never been started."""
    return program.name not in first and histories[program.name].starts == 0


def one_by_one(
    programs: Sequence[Program], histories: dict[str, History], first: Collection[str], since: float
) -> list[Program]:
    """Of those that are due: newcomers one at a time, and none until the last one has had its time.
    ``since``: seconds since that one was started. A start takes a core for a second; seven at once would
    stall everybody whom the cluster serves.
    """
    newcomers = [one.name for one in programs if is_newcomer(one, histories, first)]
    held = newcomers if since < NEWCOMER_SECONDS else newcomers[1:]
    return [one for one in programs if one.name not in held]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What to do with processes that were found: adopt by name, stop the rest."""

    adopted: dict[str, Running]
    unwanted: list[Running]


def take_over(programs: Iterable[Program], found: Sequence[Running]) -> Inventory:
    """Adopt what runs as it would be started now: the oldest of each name, for it holds the port and the
    data.

    Others are stopped: a second of the same name, a program of an older command line, a name not wanted any
    more.
    """
    wanted = {program.name: program.command for program in programs}
    inventory = Inventory({}, [])
    for running in found:
        if running.name not in inventory.adopted and running.command == wanted.get(running.name):
            inventory.adopted[running.name] = running
        else:
            inventory.unwanted.append(running)
    return inventory
