"""What the next step of an operation may be."""

from __future__ import annotations

from dataclasses import dataclass

from aidb_coordinator.rebalance import PlannedMove
from aidb_coordinator.scaling.operation import Operation


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now; `what` is waited for."""

    what: str


@dataclass(frozen=True, slots=True)
class Become:
    """The operation goes on as this one: recorded before anything else is done for it."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class Provision:
    """These shards are to be in the topology, and to have programs, with so many replicas each."""

    shards: tuple[int, ...]
    replicas: int


@dataclass(frozen=True, slots=True)
class MakePlan:
    """Plan the moves, and record them."""


@dataclass(frozen=True, slots=True)
class BeginMoves:
    """By id."""

    moves: tuple[tuple[str, PlannedMove], ...]


@dataclass(frozen=True, slots=True)
class CancelMoves:
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackUp:
    """Ask the shard's primary for a snapshot."""

    shard: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Out of the topology."""

    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retire:
    """Stop the programs."""

    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetReplicas:
    """The shard is to have `count`, without those named."""

    shard: int
    count: int
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """A replica that has stopped leaves the topology."""

    name: str


Action = (
    Wait
    | Become
    | Provision
    | MakePlan
    | BeginMoves
    | CancelMoves
    | BackUp
    | Drop
    | Retire
    | SetReplicas
    | Forget
)
