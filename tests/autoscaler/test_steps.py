"""What is begun of a decision: one operation, the most urgent."""

from __future__ import annotations

from aidb_coordinator.autoscaler import Decision, Sample, Scale, ShardFigures
from aidb_coordinator.autoscaler.steps import StepKind, next_step

SAMPLE = Sample(
    0.0, tuple(ShardFigures(id, 1, bytes=size) for id, size in ((0, 30.0), (1, 10.0), (2, None), (5, 10.0)))
)


def decision(shards: int, **replicas: int) -> Decision:
    scales = {int(name[1:]): Scale(2, wanted, wanted, (name,)) for name, wanted in replicas.items()}
    return Decision(0.0, True, Scale(4, shards, shards, ("shards",)), scales)


def described(shards: int, **replicas: int) -> str:
    step = next_step(decision(shards, **replicas), SAMPLE)
    return "" if step is None else step.describe()


def test_what_grows_goes_first_and_shards_before_replicas() -> None:
    assert described(4, s0=2, s1=2) == ""
    assert described(6, s0=3) == "add 2 shards"
    assert described(3, s0=3, s1=5) == "add 3 replicas of shard 1"
    assert described(3, s0=1, s1=2) == "remove a replica of shard 0"
    assert described(5) == "add a shard"


def test_the_lightest_shards_go_and_of_equals_the_newest() -> None:
    assert described(3) == "remove shard 5"
    assert described(2) == "remove shard 1, 5"
    assert described(1) == "remove shard 0, 1, 5", "of one that was not heard nobody knows what it has"


def test_a_step_says_why() -> None:
    step = next_step(decision(5), SAMPLE)
    assert step is not None and (step.kind, step.count, step.shards) == (StepKind.ADD_SHARD, 1, ())
    assert step.reasons == ("shards",)
