"""Programs that join a running cluster are started one by one."""

from __future__ import annotations

from aidb.local.plan import NEWCOMER_SECONDS, History, after_exit, after_start, one_by_one
from aidb.local.programs import Program


def program(name: str) -> Program:
    return Program(name, "primary", ("true",))


def test_newcomers_come_one_by_one_and_hold_nobody_up() -> None:
    known, one, two = program("known"), program("one"), program("two")
    histories = {"known": History(), "one": History(), "two": History()}
    first = {"known"}

    def now(since: float) -> list[Program]:
        return one_by_one([known, one, two], histories, first, since)

    assert now(NEWCOMER_SECONDS) == [known, one]
    assert now(NEWCOMER_SECONDS / 2) == [known]
    histories["one"] = after_exit(after_start(History(), 1.0), 2.0)
    assert now(0.0) == [known, one], "one that ended is no newcomer"
    assert now(NEWCOMER_SECONDS) == [known, one, two]
