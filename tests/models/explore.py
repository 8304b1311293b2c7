"""Every interleaving of a small model, breadth first.

A model is a start state (hashable), actions `state -> [(what happened, next state)]`, and what must hold
in every reachable state: `state -> ""`, or a sentence that says what is wrong. A process that dies or
sleeps needs no action of its own: it is one whose next step never comes. Evidence for small scopes, not a
proof.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Action = Callable[[State], Iterable[tuple[str, State]]]
_MOST_STATES = 500_000


@dataclass(frozen=True, slots=True)
class Found(Generic[State]):
    """``wrong`` is empty if nothing is; else ``trace`` is a shortest way there."""

    states: int
    wrong: str = ""
    trace: tuple[str, ...] = ()


def explore(start: State, actions: Iterable[Action[State]], wrong: Callable[[State], str]) -> Found[State]:
    actions = tuple(actions)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    todo = deque([start])
    while todo:
        state = todo.popleft()
        said = wrong(state)
        if said:
            return Found(len(came_from), said, _trace(came_from, state))
        for action in actions:
            for label, after in action(state):
                if after not in came_from:
                    came_from[after] = (state, label)
                    todo.append(after)
        if len(came_from) > _MOST_STATES:
            raise ValueError(f"more than {_MOST_STATES} states")
    return Found(len(came_from))


def _trace(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))
