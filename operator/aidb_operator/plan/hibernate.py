"""spec.hibernate: no pods, but volumes, topology and everything else. How many of each there are to be.

    routers and replicas  ->  coordinators  ->  primaries

So that nobody asks any more; so that nobody decides to take over from a primary that stops; and primaries
archive what is left and end. Awake again all start at once: a primary restarts on its volume (D10), and
programs that come too early try again.
"""

from __future__ import annotations

from aidb_operator.api.conditions import Type
from aidb_operator.names import Component
from aidb_operator.plan import pod_health
from aidb_operator.plan.outcome import Condition, Outcome, View

_BEFORE: dict[Component, tuple[Component, ...]] = {
    "router": (),
    "replica": (),
    "coordinator": ("router", "replica"),
    "primary": ("router", "replica", "coordinator"),
}


def count(view: View, component: Component, usual: int) -> int:
    """How many there are to be of a component, of which there are `usual` when the cluster is awake."""
    if not view.spec.hibernate:
        return usual
    return usual if any(_left(view, before) for before in _BEFORE[component]) else 0


def plan(view: View) -> Outcome:
    if not view.spec.hibernate:
        return Outcome(conditions=[Condition(Type.HIBERNATED, False, "Awake")])
    left = {component: _left(view, component) for component in _BEFORE}
    if any(left.values()):
        message = ", ".join(f"{number} pods of {component}s" for component, number in left.items() if number)
        return Outcome(conditions=[Condition(Type.HIBERNATED, False, "GoingDown", f"{message} are left")])
    return Outcome(conditions=[Condition(Type.HIBERNATED, True, "Hibernated", "volumes and topology stay")])


def _left(view: View, component: Component) -> int:
    """Pods that may still run; those of nodes that do not answer hold nothing up."""
    return sum(
        not pod_health.unreachable(pod, view.observed) and pod.phase not in ("Failed", "Succeeded")
        for pod in view.observed.pods_of(component)
    )
