"""The plan of one turn: every step's, in order, less what a gate holds, and at the end what has to go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aidb_operator.kubernetes.kinds import Kind, kind_of
from aidb_operator.plan import prune
from aidb_operator.plan.outcome import Action, Desired, Outcome, View


@dataclass(frozen=True, slots=True)
class Step:
    """`name` for people: metrics, the log, the message of a condition."""

    name: str
    plan: Callable[[View], Outcome]


# What may not be changed now, and why. Only objects that exist are asked about.
Held = Mapping[tuple[Kind, str], str]
Gate = Callable[[View, Sequence[Desired]], Held]


@dataclass(frozen=True, slots=True)
class Planned:
    step: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Planned, ...]
    held: Held

    @property
    def ends(self) -> str:
        return next((one.outcome.ends for one in self.steps if one.outcome.ends), "")

    @property
    def again(self) -> float | None:
        return min((one.outcome.again for one in self.steps if one.outcome.again is not None), default=None)

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for one in self.steps for action in one.outcome.actions)


def plan(view: View, steps: Sequence[Step], gates: Sequence[Gate]) -> Plan:
    """Pure. A step that raises ends the turn: what comes later may build on it."""
    planned: list[Planned] = []
    for step in steps:
        outcome = step.plan(view)
        planned.append(Planned(step.name, outcome))
        if outcome.ends:
            break
    else:
        desired = [action for one in planned for action in one.outcome.actions if isinstance(action, Desired)]
        planned.append(Planned("prune", prune.plan(view, desired)))
    desired = [action for one in planned for action in one.outcome.actions if isinstance(action, Desired)]
    held: dict[tuple[Kind, str], str] = {}
    for gate in gates:
        held |= gate(view, desired)
    return Plan(tuple(_without(one, view, held) for one in planned), held)


def _without(planned: Planned, view: View, held: Held) -> Planned:
    """Less what is held. Counts of what is held still go: they restart nothing."""

    def kept(action: Action) -> Action:
        if not isinstance(action, Desired) or (kind_of(action.raw), action.name) not in held:
            return action
        exists = view.observed.get(kind_of(action.raw), action.name) is not None
        return replace(action, only_count=exists)

    actions = tuple(kept(action) for action in planned.outcome.actions)
    return Planned(planned.step, replace(planned.outcome, actions=actions))
