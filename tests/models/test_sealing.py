"""In which order a taker seals (`durability/fencing.py`): it goes back from its own epoch to the first log
that is sealed, and seals what lies between.

Primaries of epochs 1 and 2 archive; takers of epochs 2, 3 and 4 seal, each of them may sleep or die at
every step. What must hold: when a taker has ended its sealing, no log of an older epoch can grow any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from tests.models.explore import Action, explore

EPOCHS = 4
MOST_PIECES = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """``order`` in which logs are sealed; ``back`` to the first sealed log, or to all, or one step only."""

    order: str = "oldest first"
    back: str = "first sealed"


@dataclass(frozen=True, slots=True)
class State:
    """By epoch - 1. ``todo``: what a taker has yet to seal; None = it has not begun. ``late``: pieces that
    a log got after a taker of a later epoch was through.
    """

    pieces: tuple[int, ...] = (0,) * EPOCHS
    sealed: tuple[bool, ...] = (False,) * EPOCHS
    todo: tuple[tuple[int, ...] | None, ...] = (None,) * EPOCHS
    late: bool = False


def put(items: tuple, index: int, item: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], item, *items[index + 1 :])


def actions(rules: Rules) -> list[Action[State]]:
    def archive(s: State) -> Iterable[tuple[str, State]]:
        for epoch in range(1, EPOCHS):
            if s.pieces[epoch - 1] < MOST_PIECES and not s.sealed[epoch - 1]:
                through = [taker for taker in range(epoch + 1, EPOCHS + 1) if s.todo[taker - 1] == ()]
                grown = put(s.pieces, epoch - 1, s.pieces[epoch - 1] + 1)
                yield f"epoch {epoch} archives", replace(s, pieces=grown, late=s.late or bool(through))

    def look(s: State) -> Iterable[tuple[str, State]]:
        for taker in range(2, EPOCHS + 1):
            if s.todo[taker - 1] is None:
                first = taker
                while first > 1 and not (rules.back == "first sealed" and s.sealed[first - 2]):
                    first -= 1
                    if rules.back == "one step":
                        break
                found = tuple(range(first, taker))
                found = found if rules.order == "oldest first" else found[::-1]
                yield (
                    f"taker {taker} has to seal {list(found)}",
                    replace(s, todo=put(s.todo, taker - 1, found)),
                )

    def seal(s: State) -> Iterable[tuple[str, State]]:
        for taker in range(2, EPOCHS + 1):
            todo = s.todo[taker - 1]
            if todo:
                after = replace(
                    s, sealed=put(s.sealed, todo[0] - 1, True), todo=put(s.todo, taker - 1, todo[1:])
                )
                yield f"taker {taker} seals {todo[0]}", after

    return [archive, look, seal]


def grown(s: State) -> str:
    return "a log grew after a later epoch had sealed all before it" if s.late else ""


@pytest.mark.parametrize("rules", [Rules(), Rules(back="all")])
def test_oldest_first_ends_every_older_log(rules: Rules) -> None:
    found = explore(State(), actions(rules), grown)
    assert found.wrong == "", found.trace
    assert found.states > 1000


@pytest.mark.parametrize("rules", [Rules(order="newest first"), Rules(back="one step")])
def test_another_order_or_a_shorter_way_back_does_not(rules: Rules) -> None:
    assert explore(State(), actions(rules), grown).wrong
