"""The register checker against known histories, and against every order tried one by one."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkers import linearizable
from tests.checkers.history import Kind, Operation, Outcome

KEY = b"k"
READ, WRITE, SWAP = Kind.READ, Kind.WRITE, Kind.SWAP
REFUSED, UNKNOWN = Outcome.REFUSED, Outcome.UNKNOWN


def op(kind: Kind, value: bytes | None, start: int, end: int, **more: object) -> Operation:
    return Operation(0, KEY, kind, value, start, end, **more)  # type: ignore[arg-type]


GOOD = {
    "reads see what overlaps, in either order": [
        op(WRITE, b"a", 0, 10),
        op(WRITE, b"b", 5, 15),
        op(READ, b"b", 16, 17),
        op(READ, b"b", 18, 19),
    ],
    "a write may show before it returns": [
        op(WRITE, b"a", 0, 100),
        op(READ, None, 1, 2),
        op(READ, b"a", 3, 4),
    ],
    "an unknown write may show late": [
        op(WRITE, b"u", 0, 1, outcome=UNKNOWN),
        op(WRITE, b"a", 2, 3),
        op(READ, b"a", 4, 5),
        op(READ, b"u", 6, 7),
    ],
    "an unknown write may never show": [op(WRITE, b"u", 0, 1, outcome=UNKNOWN), op(READ, None, 2, 3)],
    "an unknown delete may come at any time": [
        op(WRITE, None, 0, 1, outcome=UNKNOWN),
        op(WRITE, b"a", 2, 3),
        op(READ, b"a", 4, 5),
        op(READ, None, 6, 7),
    ],
    "a swap finds what was written": [
        op(WRITE, b"a", 0, 1),
        op(SWAP, b"b", 2, 3, expected=b"a"),
        op(SWAP, b"c", 4, 5, expected=b"a", outcome=REFUSED, found=b"b"),
        op(READ, b"b", 6, 7),
    ],
}

BAD = {
    "a stale read": [op(WRITE, b"a", 0, 1), op(WRITE, b"b", 2, 3), op(READ, b"a", 4, 5)],
    "a lost write": [op(WRITE, b"a", 0, 1), op(READ, None, 2, 3)],
    "back and forth": [op(WRITE, b"a", 0, 100), op(READ, b"a", 1, 2), op(READ, None, 3, 4)],
    "a value from nowhere": [op(READ, b"x", 0, 1)],
    "a value before its write": [op(READ, b"a", 0, 1), op(WRITE, b"a", 2, 3)],
    "an unknown write shows before it began": [op(READ, b"u", 0, 1), op(WRITE, b"u", 2, 3, outcome=UNKNOWN)],
    "an unknown write takes effect twice": [
        op(WRITE, b"u", 0, 1, outcome=UNKNOWN),
        op(READ, b"u", 2, 3),
        op(WRITE, b"a", 4, 5),
        op(READ, b"a", 6, 7),
        op(READ, b"u", 8, 9),
    ],
    "an unknown delete comes twice": [
        op(WRITE, None, 0, 1, outcome=UNKNOWN),
        op(WRITE, b"a", 2, 3),
        op(READ, None, 4, 5),
        op(WRITE, b"b", 6, 7),
        op(READ, None, 8, 9),
    ],
    "two swaps win": [
        op(WRITE, b"a", 0, 1),
        op(SWAP, b"b", 2, 9, expected=b"a"),
        op(SWAP, b"c", 2, 9, expected=b"a"),
    ],
    "a swap is refused for what it expects": [
        op(WRITE, b"a", 0, 1),
        op(SWAP, b"b", 2, 3, expected=b"a", outcome=REFUSED, found=b"a"),
    ],
    "two readers disagree on an order": [
        op(WRITE, b"a", 0, 10),
        op(WRITE, b"b", 0, 10),
        op(READ, b"a", 11, 12),
        op(READ, b"b", 13, 14),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name: str) -> None:
    assert linearizable.check(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_catches(name: str) -> None:
    assert len(linearizable.check(BAD[name])) == 1


def by_trying_all(calls: list[Operation]) -> bool:
    """Every order of every choice of the unknown calls."""
    certain = [call for call in calls if call.outcome is not UNKNOWN]
    unknown = [call for call in calls if call.outcome is UNKNOWN]
    for chosen in range(2 ** len(unknown)):
        taken = [call for number, call in enumerate(unknown) if chosen >> number & 1]
        for order in permutations(certain + taken):
            if _respects_time(order) and _explains(order):
                return True
    return False


def _respects_time(order: tuple[Operation, ...]) -> bool:
    return not any(
        later.outcome is not UNKNOWN and later.end < earlier.start
        for number, earlier in enumerate(order)
        for later in order[number + 1 :]
    )


def _explains(order: tuple[Operation, ...]) -> bool:
    value: bytes | None = None
    for call in order:
        if call.kind is READ and call.value != value:
            return False
        if call.kind is SWAP:
            if call.outcome is REFUSED and (value == call.expected or value != call.found):
                return False
            if call.outcome is not REFUSED and value != call.expected:
                return False
        if call.writes:
            value = call.value
    return True


VALUES = st.sampled_from([None, b"a", b"b"])


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    kind = draw(st.sampled_from([READ, READ, WRITE, WRITE, SWAP]))
    start = draw(st.integers(0, 12))
    call = op(kind, draw(VALUES), start, start + draw(st.integers(1, 8)))
    if kind is WRITE and draw(st.booleans()):
        return replace(call, outcome=UNKNOWN)
    if kind is SWAP:
        outcome = draw(st.sampled_from(list(Outcome)))
        return replace(call, outcome=outcome, expected=draw(VALUES), found=draw(VALUES))
    return call


@settings(max_examples=600, deadline=None)
@given(st.lists(operations(), max_size=5))
def test_agrees_with_trying_every_order(calls: list[Operation]) -> None:
    """Values repeat here on purpose: the cuts for values written once must know when they apply."""
    # Distinct times: the checker counts calls that touch as overlapping, like `_respects_time`.
    found = linearizable.check_key(sorted(calls, key=lambda call: call.start))
    assert (found is None) == by_trying_all(calls)


def unknown(call: Operation) -> bool:
    return call.outcome is UNKNOWN


def simulated(seed: int, clients: int, length: int) -> list[Operation]:
    """A linearizable history: each call takes effect at one moment of a real register; some stay unknown."""
    rng = random.Random(seed)
    free_at = [0] * clients
    moments: list[tuple[int, int, Operation]] = []
    for number in range(length):
        client = min(range(clients), key=free_at.__getitem__)
        start = free_at[client] + rng.randint(1, 20)
        moment = start + rng.randint(0, 400)
        end = moment + rng.randint(0, 400)
        free_at[client] = end
        value = b"%d" % number if rng.random() < 0.9 else None
        call = Operation(client, KEY, WRITE if rng.random() < 0.5 else READ, value, start, end)
        if call.kind is WRITE and rng.random() < 0.1:
            late = rng.choice([0, 0, 500, 2000])
            call, moment = replace(call, outcome=UNKNOWN), moment + late
        moments.append((moment, number, call))
    register: bytes | None = None
    history = []
    for _, _, call in sorted(moments, key=lambda item: item[:2]):
        if call.kind is READ:
            call = replace(call, value=register)
        elif call.outcome is not UNKNOWN or rng.random() < 0.5:
            register = call.value
        history.append(call)
    return sorted(history, key=lambda call: call.start)


@pytest.mark.parametrize("seed", range(4))
def test_long_histories_are_followed_and_one_wrong_read_in_them_is_caught(seed: int) -> None:
    print(f"seed={seed}")
    history = simulated(seed, clients=8, length=500)
    assert linearizable.check(history) == []
    rng = random.Random(seed)
    reads = [number for number, call in enumerate(history) if call.kind is READ and number > 250]
    victim = rng.choice(reads)
    old = next(call.value for call in history[50:] if call.kind is WRITE and call.value and not unknown(call))
    history[victim] = replace(history[victim], value=old)
    assert len(linearizable.check(history)) == 1
