"""Changes of the cluster's shape: asks the coordinator for them, follows them, shows and controls them."""

from __future__ import annotations

import getpass
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from aidb.admin import rebalance
from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.v1 import cluster_pb2 as pb

_CALL_SECONDS = 20.0
_POLL = 0.3
_ENDED = ("cancelled", "done", "failed")
_COLUMNS = ("OPERATION", "WHAT", "STATE", "PHASE", "SLOTS", "RATE", "ETA", "NOTE")


def start(
    address: str | None,
    request: pb.StartOperationRequest,
    how: Output,
    *,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float,
) -> int:
    """Raises Failure."""
    coordinator = find_address(address)
    request.id = request.id or uuid.uuid4().hex[:12]
    request.asked_by = _who()
    if dry_run or not yes:
        plan = _plan(coordinator, request)
        if dry_run:
            _show_plan(plan, how)
            return int(Exit.OK)
        _confirm(plan)
    with coordination(coordinator) as stub:
        answer: pb.StartOperationResponse = stub.StartOperation(request, timeout=_CALL_SECONDS)
    operation = answer.operation
    if wait:
        operation = _follow(coordinator, operation.id, time.monotonic() + timeout)
    _show([operation], how, alone=True)
    return int(Exit.ERROR if operation.state in ("cancelled", "failed") else Exit.OK)


def show(address: str | None, how: Output, *, watch: bool, timeout: float) -> int:
    """Those that have not ended, and those that ended of late."""
    coordinator = find_address(address)
    if watch:
        ends = time.monotonic() + timeout
        for operation in _fetch(coordinator):
            if operation.state not in _ENDED:
                _follow(coordinator, operation.id, ends)
    _show(_fetch(coordinator), how)
    return int(Exit.OK)


def control(address: str | None, operation_id: str, action: str, how: Output) -> int:
    """``pause``, ``resume`` or ``cancel``."""
    with coordination(find_address(address)) as stub:
        answer: pb.ControlOperationResponse = stub.ControlOperation(
            pb.ControlOperationRequest(id=operation_id, action=action), timeout=_CALL_SECONDS
        )
    _show([answer.operation], how, alone=True)
    return int(Exit.OK)


def document(operation: pb.Operation) -> dict[str, Any]:
    """What ``-o json`` says of an operation."""
    said = operation.progress
    return {
        "id": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "phase": operation.phase,
        "shards": list(operation.shards),
        "replicas": operation.replicas,
        "names": list(operation.names),
        "by": operation.by,
        "asked_by": operation.asked_by,
        "created_ms": operation.created_ms,
        "changed_ms": operation.changed_ms,
        "error": operation.error,
        "waits_for": operation.waits_for,
        "moves": said.moves,
        "moves_done": said.moves_done,
        "moves_under_way": said.moves_under_way,
        "slots": said.slots,
        "slots_done": said.slots_done,
        "bytes_left": said.bytes_left,
        "bytes_per_second": said.bytes_per_second,
        "eta_seconds": round(said.eta_ms / 1000, 1) if said.eta_ms else None,
    }


def _plan(coordinator: str, request: pb.StartOperationRequest) -> pb.StartOperationResponse:
    asked = pb.StartOperationRequest()
    asked.CopyFrom(request)
    asked.dry_run = True
    with coordination(coordinator) as stub:
        answer: pb.StartOperationResponse = stub.StartOperation(asked, timeout=_CALL_SECONDS)
        return answer


def _confirm(plan: pb.StartOperationResponse) -> None:
    """Raises Failure."""
    if not sys.stdin.isatty():
        raise Failure("nothing was done: say --yes to do it, or --dry-run to see what", Exit.BAD_INPUT)
    output.note(_summary(plan))
    print("do it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("nothing was done")


def _show_plan(plan: pb.StartOperationResponse, how: Output) -> None:
    if how is Output.JSON:
        output.document({**document(plan.operation), "plan": rebalance.document(plan.plan)})
        return
    output.line(_summary(plan))
    if plan.plan.shards:
        rebalance.show(plan.plan, plan.operation.by)


def _summary(plan: pb.StartOperationResponse) -> str:
    operation, moves = plan.operation, plan.plan.moves
    text = _what(operation)
    if operation.kind in ("add_replica", "remove_replica"):
        return f"{text}: shard {operation.shards[0]} has {operation.replicas} replicas then"
    slots = sum(span.last - span.first + 1 for move in moves for span in move.slots)
    return f"{text}: {slots:,} slots move, in {len(moves):,} moves"


def _follow(coordinator: str, operation_id: str, ends: float) -> pb.Operation:
    """Until it has ended; a coordinator that is away for a while is waited for. Raises Failure."""
    seen: pb.Operation | None = None
    with progress("", None) as advance:
        while time.monotonic() < ends:
            try:
                seen = _find(_fetch(coordinator), operation_id)
            except Failure as failure:
                if failure.code is not Exit.UNAVAILABLE:
                    raise
                advance(0, str(failure))
            else:
                if seen.state in _ENDED:
                    return seen
                advance(seen.progress.slots_done, _line(seen))
            time.sleep(_POLL)
    state = "not known to the coordinator" if seen is None else seen.state
    raise Failure(
        f"operation {operation_id} is {state} and goes on: aidb-admin operations tells how", Exit.UNAVAILABLE
    )


def _line(operation: pb.Operation) -> str:
    one = document(operation)
    slots = f"{one['slots_done']:,} of {one['slots']:,} slots" if one["slots"] else ""
    parts = (_what(operation), one["phase"], slots, _rate(one), _eta(one), one["waits_for"])
    return ", ".join(filter(None, parts))


def _find(found: Iterable[pb.Operation], operation_id: str) -> pb.Operation:
    for operation in found:
        if operation.id == operation_id:
            return operation
    raise Failure(f"the coordinator does not know operation {operation_id}", Exit.NOT_FOUND)


def _fetch(coordinator: str) -> list[pb.Operation]:
    with coordination(coordinator) as stub:
        answer: pb.ListOperationsResponse = stub.ListOperations(
            pb.ListOperationsRequest(), timeout=_CALL_SECONDS
        )
        return list(answer.operations)


def _show(found: list[pb.Operation], how: Output, *, alone: bool = False) -> None:
    documents = [document(operation) for operation in found]
    if how is Output.JSON:
        output.document(documents[0] if alone else documents)
        return
    rows = [_row(operation, one) for operation, one in zip(found, documents, strict=True)]
    output.table(_COLUMNS, rows)


def _row(operation: pb.Operation, one: dict[str, Any]) -> tuple[str, ...]:
    live = one["state"] not in _ENDED
    return (
        one["id"],
        _what(operation),
        one["state"],
        one["phase"] if live else "",
        f"{one['slots_done']:,} of {one['slots']:,}" if one["slots"] else "",
        _rate(one) if live else "",
        _eta(one) if live else "",
        one["error"] or (f"waits for {one['waits_for']}" if live and one["waits_for"] else ""),
    )


def _what(operation: pb.Operation) -> str:
    text = operation.kind.replace("_", " ")
    if operation.kind == "rebalance":
        return f"{text} by {operation.by}"
    shards = ", ".join(map(str, operation.shards))
    return f"{text} {shards}" if "shard" in text else f"{text} of shard {shards}"


def _rate(one: dict[str, Any]) -> str:
    return f"{output.human_bytes(one['bytes_per_second'])}/s" if one["bytes_per_second"] else ""


def _eta(one: dict[str, Any]) -> str:
    return "" if one["eta_seconds"] is None else f"{one['eta_seconds']:.0f} s left"


def _who() -> str:
    """Who asks, for people."""
    asked: Callable[[], str] = getpass.getuser
    try:
        return asked()
    except (OSError, KeyError, ImportError):
        return ""
