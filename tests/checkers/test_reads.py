"""Session, bounded, version and durable checkers accept the good history and name each kind of breach."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.checkers import bounded, durable, session, versions
from tests.checkers.history import Consistency, Kind, Operation, Outcome

KEY = b"k"
BOUND = 10


def write(value: bytes | None, version: int, start: int, end: int, by: int = 1) -> Operation:
    return Operation(by, KEY, Kind.WRITE, value, start, end, version=version)


def unknown(value: bytes | None, start: int, end: int, by: int = 1) -> Operation:
    return Operation(by, KEY, Kind.WRITE, value, start, end, Outcome.UNKNOWN)


def read(value: bytes | None, version: int, start: int, end: int, by: int = 1) -> Operation:
    kind = Consistency.SESSION
    return Operation(by, KEY, Kind.READ, value, start, end, version=version, consistency=kind, bound_ns=BOUND)


WRITES = [write(b"a", 1, 0, 1), write(b"b", 2, 2, 3), write(None, 3, 4, 5), write(b"c", 4, 6, 7)]


def test_a_session_reads_its_writes_and_others_may_lag() -> None:
    assert session.check([*WRITES, read(b"c", 4, 8, 9), read(b"a", 1, 8, 9, by=2)]) == []


@pytest.mark.parametrize(
    "reads",
    [
        [read(b"b", 2, 8, 9)],  # not its own write
        [read(None, 0, 8, 9)],  # nor the delete before it
        [read(b"b", 2, 8, 9, by=2), read(b"a", 1, 10, 11, by=2)],  # back
        [
            read(b"b", 2, 8, 9, by=2),
            read(None, 0, 10, 11, by=2),
            read(b"b", 2, 12, 13, by=2),
        ],  # back past a delete
        [read(b"z", 9, 8, 9, by=2)],  # from nowhere
    ],
)
def test_a_session_that_goes_back_is_caught(reads: list[Operation]) -> None:
    assert len(session.check([*WRITES, *reads])) == 1


def test_an_unknown_delete_explains_an_absence_at_any_time() -> None:
    assert session.check([*WRITES, unknown(None, 1, 2, by=2), read(None, 0, 8, 9)]) == []


def test_reads_without_a_token_promise_the_session_nothing() -> None:
    eventual = replace(read(b"a", 1, 8, 9), consistency=Consistency.EVENTUAL)
    assert session.check([*WRITES, eventual]) == []


def test_a_bounded_read_may_lag_by_its_bound() -> None:
    assert (
        bounded.check([*WRITES, read(None, 0, 17, 18), read(b"b", 2, 15, 16), read(b"c", 4, 99, 100)]) == []
    )


@pytest.mark.parametrize(
    "late", [read(b"b", 2, 18, 19), read(None, 0, 18, 19), read(b"a", 1, 14, 15), read(None, 0, 12, 13)]
)
def test_a_read_staler_than_its_bound_is_caught_unless_clocks_may_differ(late: Operation) -> None:
    caught = bounded.check([*WRITES, late])
    # The last one lags by nothing the bound forbids: the delete it shows began before it ended.
    assert len(caught) == (0 if late.start == 12 else 1)
    assert bounded.check([*WRITES, late], allowance_ns=10) == []


def test_versions_that_grow_are_accepted() -> None:
    overlapping = [write(b"d", 6, 8, 20), write(b"e", 5, 9, 19)]
    assert versions.check([*WRITES, *overlapping, read(b"c", 4, 8, 9)]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        write(b"d", 4, 8, 9),  # two values of one version
        read(b"c", 5, 8, 9),  # two versions of one value
        write(b"d", 2, 8, 9),  # both: an old version again
    ],
)
def test_versions_that_do_not_are_caught(wrong: Operation) -> None:
    assert versions.check([*WRITES, wrong])


def test_a_write_after_a_higher_version_was_only_read_is_caught() -> None:
    history = [unknown(b"a", 0, 1), read(b"a", 9, 2, 3), write(b"b", 8, 4, 5)]
    assert len(versions.check(history)) == 1


@pytest.mark.parametrize("found", [(b"c", 4), (b"u", 7)])
def test_the_newest_acknowledged_write_or_a_later_one_is_durable(found: durable.Found) -> None:
    assert durable.check([*WRITES, unknown(b"u", 0, 1)], {KEY: found}) == []


@pytest.mark.parametrize("found", [(b"b", 2), (None, 0), (b"z", 9)])
def test_a_lost_or_invented_write_is_caught(found: durable.Found) -> None:
    assert len(durable.check([*WRITES, unknown(b"u", 0, 1)], {KEY: found})) == 1


def test_what_was_never_acknowledged_may_be_gone() -> None:
    assert durable.check([unknown(b"u", 0, 1)], {}) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_simulated_cache_passes_and_one_forgotten_invalidation_is_caught(seed: int) -> None:
    """Writers commit in order; a cache lags within the bound; the session reads what is new enough for it."""
    print(f"seed={seed}")
    rng = random.Random(seed)
    committed: list[tuple[int, int]] = [(0, 0)]  # (time, version)
    history: list[Operation] = []
    now = seen = 0
    for version in range(1, 200):
        now += rng.randint(1, 5)
        history.append(write(b"%d" % version, version, now, now + 2, by=2))
        committed.append((now + 1, version))
        now += rng.randint(2, 5)
        state = max(v for at, v in committed if at <= max(now - rng.randint(0, BOUND), 0))
        seen = max(seen, state)
        if seen:
            history.append(read(b"%d" % seen, seen, now, now + 1))
    assert session.check(history) == bounded.check(history) == versions.check(history) == []
    last = max(number for number, operation in enumerate(history) if operation.kind is Kind.READ)
    history[last] = replace(history[last], value=b"50", version=50)
    assert len(session.check(history)) == len(bounded.check(history)) == 1
