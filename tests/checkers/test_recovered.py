"""The checker of recoveries accepts every prefix and names each kind of breach."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.checkers.recovered import Entry, Sight, Span, Verdict, Write, check

BEFORE = (Write(b"a", b"a0", 10), Write(b"b", b"b0", 20))
WRITES = (
    Write(b"a", b"a1", 101),
    Write(b"b", None, 102),
    Write(b"c", b"c1", 103),
    Write(b"a", b"a2", 104),
)
SPAN = Span(BEFORE, 50, WRITES)
FREE = replace(SPAN, writes=tuple(replace(write, promised=False) for write in WRITES))
# What commit order says is there at each LSN.
AT: dict[int, dict[bytes, Entry]] = {
    50: {b"a": (b"a0", 10), b"b": (b"b0", 20)},
    101: {b"a": (b"a1", 101), b"b": (b"b0", 20)},
    102: {b"a": (b"a1", 101)},
    103: {b"a": (b"a1", 101), b"c": (b"c1", 103)},
    104: {b"a": (b"a2", 104), b"c": (b"c1", 103)},
}


def problems(verdict: Verdict) -> str:
    return "\n".join(verdict.problems)


def test_everything_is_there() -> None:
    verdict = check(SPAN, AT[104], 104, floor=104)
    assert (verdict.problems, verdict.acknowledged, verdict.lost) == ([], 4, 0)


@pytest.mark.parametrize("end", AT)
def test_every_prefix_is_good_where_nothing_was_promised(end: int) -> None:
    verdict = check(FREE, AT[end], end)
    assert verdict.problems == []
    assert verdict.lost == sum(write.version > end for write in WRITES)
    assert verdict.following.above == 104, "what is lost keeps its number"


@pytest.mark.parametrize("end", [end for end in AT if end < 104])
def test_what_was_promised_must_be_there(end: int) -> None:
    assert "was promised" in problems(check(SPAN, AT[end], end))


def test_the_floor_must_be_there() -> None:
    assert "said to be safe" in problems(check(FREE, AT[102], 102, floor=103))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({b"a": (b"a1", 101), b"c": (b"c1", 103)}, "hole"),  # a2 is missing, c1 before it is there
        ({b"a": (b"a2", 104)}, "is missing"),
        ({**AT[104], b"b": (b"b0", 20)}, "its delete"),  # revived
        ({**AT[104], b"c": (b"c0", 103)}, "which nobody wrote"),
        ({**AT[104], b"d": (b"d", 60)}, "which nobody wrote"),
        ({**AT[104], b"a": (b"a2", 105)}, "which nobody wrote"),
        ({}, "is missing"),
    ],
)
def test_what_is_no_prefix(found: Mapping[bytes, Entry], says: str) -> None:
    assert says in problems(check(SPAN, found, 104))


def test_what_lies_behind_the_end() -> None:
    assert "behind the end" in problems(check(FREE, AT[104], 103))


def test_it_may_come_back_to_before_its_last_recovery() -> None:
    following = check(FREE, AT[104], 104).following
    later = replace(following, writes=(Write(b"b", b"b1", 200, promised=False),))
    for end, state in AT.items():
        assert check(later, state, end).problems == []
    assert check(later, AT[101], 101).lost == 4
    assert "hole" in problems(check(later, {**AT[104], b"a": (b"a1", 101)}, 104))


def test_what_was_lost_is_not_seen_again() -> None:
    following = check(FREE, AT[101], 101).following
    later = replace(following, writes=(Write(b"b", b"b1", 200, promised=False),))
    assert check(later, {b"a": (b"a1", 101), b"b": (b"b1", 200)}, 200).problems == []
    revived = {b"a": (b"a1", 101), b"b": (b"b1", 200), b"c": (b"c1", 103)}
    assert "which nobody wrote" in problems(check(later, revived, 200))


def test_a_write_without_an_answer_stands_before_the_recovery_that_followed() -> None:
    doubtful = replace(FREE, writes=(*FREE.writes, Write(b"c", None, 0), Write(b"d", b"d1", 0)))
    following = check(doubtful, AT[104], 104).following
    for end, state in AT.items():
        gone = {key: entry for key, entry in state.items() if key != b"c"}
        assert check(following, gone, end).problems == []
    later = replace(following, writes=(Write(b"c", b"c2", 200, promised=False),))
    assert "is missing" in problems(check(later, {b"a": (b"a2", 104)}, 200))
    late = {**AT[104], b"c": (b"c2", 200), b"d": (b"d1", 201)}
    assert "which nobody wrote" in problems(check(later, late, 201))


def test_an_lsn_is_given_once() -> None:
    assert "given before" in problems(check(replace(SPAN, above=101), AT[104], 104))
    twice = replace(SPAN, writes=(*WRITES, Write(b"a", b"a3", 104)))
    assert "two writes of lsn 104" in problems(check(twice, AT[104], 104))


def test_a_write_without_an_answer_may_be_there_or_not() -> None:
    span = replace(SPAN, writes=(*WRITES, Write(b"c", b"c2", 0), Write(b"a", None, 0)))
    assert check(span, AT[104], 105).problems == []
    assert check(span, {**AT[104], b"c": (b"c2", 105)}, 105).problems == []
    assert check(span, {b"c": (b"c2", 106)}, 106).problems == []
    assert "behind the end" in problems(check(span, {**AT[104], b"c": (b"c2", 105)}, 104))


def test_once_seen_it_has_its_place() -> None:
    span = replace(SPAN, writes=(*WRITES, Write(b"d", b"d1", 0)), sights=(Sight(b"d", b"d1", 105),))
    assert check(span, {**AT[104], b"d": (b"d1", 105)}, 105).problems == []
    assert "is missing" in problems(check(span, AT[104], 105))
    assert "was shown" in problems(check(span, AT[104], 104))
    free = replace(span, sights=(Sight(b"d", b"d1", 105, promised=False),))
    assert check(free, AT[104], 104).problems == []
    assert "which nobody wrote" in problems(check(span, {**AT[104], b"d": (b"d1", 106)}, 106))


def test_an_atomic_batch_is_there_as_a_whole() -> None:
    batch = (Write(b"x", b"x1", 0, batch=1), Write(b"y", b"y1", 0, batch=1), Write(b"a", None, 0, batch=1))
    span = replace(SPAN, writes=(*WRITES, *batch))
    whole = {b"c": (b"c1", 103), b"x": (b"x1", 105), b"y": (b"y1", 105)}
    assert check(span, whole, 105).problems == []
    assert check(span, AT[104], 105).problems == []
    assert "is missing" in problems(check(span, {**AT[104], b"x": (b"x1", 105)}, 105))
    assert "hole" in problems(check(span, {**whole, b"a": (b"a2", 104)}, 105))


def test_any_history_has_its_prefixes_and_no_other_state() -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    rng = random.Random(seed)
    for _ in range(50):
        states: list[tuple[int, dict[bytes, Entry]]] = [(0, {})]
        writes = []
        for lsn in range(1, rng.randrange(5, 40)):
            key = b"k%d" % rng.randrange(5)
            value = None if rng.random() < 0.2 else b"v%d" % lsn
            state = dict(states[-1][1])
            state.pop(key, None)
            if value is not None:
                state[key] = (value, lsn)
            states.append((lsn, state))
            answered = rng.random() < 0.8 or value is None
            writes.append(Write(key, value, lsn if answered else 0, promised=False))
        span = Span(writes=writes)
        for end, state in states:
            assert check(span, state, end).problems == []
        end, state = states[-1]
        for key in state:
            less = {other: entry for other, entry in state.items() if other != key}
            if any(write.key == key and write.version == state[key][1] for write in writes):
                assert check(span, less, end).problems != []
