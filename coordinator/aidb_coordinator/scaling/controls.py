"""Pause, resume, cancel: what they make of an operation. Pure."""

from __future__ import annotations

from dataclasses import replace

from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.scaling.requests import Refused

ACTIONS = ("pause", "resume", "cancel")


def control(operation: Operation, action: str, now_ms: int) -> Operation:
    """The same operation when it is as asked already. Raises Refused."""
    if action not in ACTIONS:
        raise Refused(f"{action!r} is none of {', '.join(ACTIONS)}")
    if operation.ended:
        raise Refused(f"operation {operation.id} is {operation.state}: it can only be asked for again")
    if operation.state is State.CANCELLING:
        if action == "cancel":
            return operation
        raise Refused(f"operation {operation.id} is being cancelled")
    if action == "pause":
        return replace(operation, state=State.PAUSED)
    if action == "resume":
        # Programs have their whole time again; the rate of moves is counted since they began.
        since = now_ms if operation.phase is Phase.PROVISIONING else operation.since_ms
        return replace(operation, state=State.RUNNING, since_ms=since)
    if operation.phase is Phase.RETIRING:
        raise Refused(f"operation {operation.id} has moved all slots, and its shards are about to be gone")
    if operation.kind is Kind.REMOVE_REPLICA:
        raise Refused(f"operation {operation.id} stops replicas already: add them again")
    return replace(operation, state=State.CANCELLING, since_ms=now_ms)
