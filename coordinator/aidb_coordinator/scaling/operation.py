"""An operation: what was asked for, and how far it is. Immutable; `journal` keeps it.

    running <-> paused
    running, paused -> cancelling -> cancelled, failed
    running -> done

What it has done is not recorded: it is seen (slots at their targets, shards that are there).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aidb_coordinator.rebalance import PlannedMove
from aidb_coordinator.slot_load import By


class Kind(StrEnum):
    ADD_SHARD = "add_shard"
    REMOVE_SHARD = "remove_shard"
    ADD_REPLICA = "add_replica"
    REMOVE_REPLICA = "remove_replica"
    REBALANCE = "rebalance"


class State(StrEnum):
    """`CANCELLING`: what must not stay half done is undone; then cancelled, or failed if it has an error."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


class Phase(StrEnum):
    """In this order, as far as the kind has them."""

    PROVISIONING = "provisioning"
    PLANNING = "planning"
    MOVING = "moving"
    SETTLING = "settling"
    BACKING_UP = "backing_up"
    RETIRING = "retiring"


ENDED = (State.CANCELLED, State.DONE, State.FAILED)
# One of these at a time: each plans for the shards that there are.
RESHAPING = (Kind.ADD_SHARD, Kind.REMOVE_SHARD, Kind.REBALANCE)


@dataclass(frozen=True, slots=True)
class Operation:
    """`shards`: those that are added or removed, or the one whose replicas are. `replicas`: how many it, or
    each of the new ones, is to have. `names`: replicas to remove, or those that were there before one was
    added. `plans`: how many were made; `plan` is the newest, `moved` the slots of
    those before. `since_ms`: when the phase began, since 1970.
    """

    id: str
    kind: Kind
    shards: tuple[int, ...]
    state: State
    phase: Phase
    created_ms: int
    since_ms: int
    replicas: int = 0
    names: tuple[str, ...] = ()
    by: By = By.SLOTS
    asked_by: str = ""
    plan: tuple[PlannedMove, ...] = ()
    plans: int = 0
    moved: int = 0
    error: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def reshapes(self) -> bool:
        return self.kind in RESHAPING

    def move_id(self, number: int) -> str:
        """Of the plan's `number`-th move: the same after a restart, another in the next plan."""
        return f"{self.id}.{self.plans}.{number}"

    def owns_move(self, move_id: str) -> bool:
        return move_id.startswith(f"{self.id}.")

    def describe(self) -> str:
        """For people."""
        shards = ", ".join(map(str, self.shards))
        return self.kind.replace("_", " ") + (f" {shards}" if shards else "")
