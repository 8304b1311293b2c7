"""Whatever happens, in whatever order: never two shards disrupted by the operator at once, nothing that is
published is deleted, and when people stop changing their minds everything becomes as it should be.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from aidb_operator.plan import pod_health
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.test_lifecycle import settled
from tests.operator.world import STEP, World

NODES = [f"node-{number}" for number in range(4)]
PATIENT = int(pod_health.PATIENCE / STEP)

Event = Callable[[World], None]


def _spec(key: str, value: object) -> Event:
    return lambda world: world.spec.__setitem__(key, value)


def _cordon(node: str, unschedulable: bool) -> Event:
    return lambda world: world.cordon(node, unschedulable)


def _power(node: str, on: bool) -> Event:
    return lambda world: world.power(node, on)


events = st.one_of(
    st.sampled_from(["aidb:1", "aidb:2", "aidb:bad"]).map(lambda image: _spec("image", image)),
    st.sampled_from(["10Gi", "20Gi"]).map(
        lambda size: _spec("storage", {"size": size, "reclaimPolicy": "Delete"})
    ),
    st.booleans().map(lambda asleep: _spec("hibernate", asleep)),
    st.builds(_cordon, st.sampled_from(NODES), st.booleans()),
    st.builds(_power, st.sampled_from(NODES), st.booleans()),
)


# The same courses each time; AIDB_COURSES=1000 tries others.
COURSES = int(os.environ.get("AIDB_COURSES", "0"))


@settings(max_examples=COURSES or 5, derandomize=not COURSES, deadline=None)
@given(st.lists(st.tuples(events, st.sampled_from([0, 1, 2, 5, PATIENT + 3])), max_size=8), st.booleans())
def test_it_ends_well(course: list[tuple[Event, int]], taking_over: bool) -> None:
    world = World(taking_over=taking_over).steps(12)
    for event, steps in course:
        event(world)
        world.steps(steps)
        assert world.violations == []
    for node in NODES:
        world.power(node, on=True)
        world.cordon(node, unschedulable=False)
    world.spec["hibernate"] = False
    world.spec["image"] = "aidb:2"
    for _ in range(6 * PATIENT):
        if not (world.violations or _is_settled(world)):
            world.step()
    world.steps(15)
    settled(world)


def _is_settled(world: World) -> bool:
    try:
        settled(world)
    except AssertionError:
        return False
    return True
