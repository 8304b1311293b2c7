"""`move-slots` and `moves`: asks the coordinator for slot moves, waits for them, shows them, cancels them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from aidb.admin import slots
from aidb.admin.slots import Span
from aidb.cli import output
from aidb.cli.connection import coordination, discovery, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.v1 import cluster_pb2 as pb

_CALL_SECONDS = 10.0
_POLL = 0.2
_ENDED = ("committed", "cancelled", "failed")
_COLUMNS = ("MOVE", "SLOTS", "FROM", "TO", "STEP", "ATTEMPT", "DONE", "RATE", "BEHIND", "ETA", "NOTE")


def move_slots(
    address: str | None,
    asked: str | None,
    count: int,
    source: int | None,
    target: int,
    how: Output,
    *,
    dry_run: bool,
    wait: bool,
    timeout: float,
) -> int:
    """Moves the slots that are named, or the last ``count`` of ``source``. Raises Failure."""
    coordinator = find_address(address)
    wanted = _wanted(coordinator, asked, count, source, target)
    if dry_run:
        plan = [{"from": one, "to": target, "slots": slots.text_of(spans)} for one, spans in wanted.items()]
        _show_plan(plan, how)
        return int(Exit.OK)
    moves = [(spans, one, target) for one, spans in wanted.items()]
    return carry_out(coordinator, moves, how, wait=wait, timeout=timeout)


def carry_out(
    coordinator: str,
    moves: Iterable[tuple[Sequence[Span], int, int]],
    how: Output,
    *,
    wait: bool,
    timeout: float,
) -> int:
    """Slots, source and target of each. Raises Failure."""
    begun = [_begin(coordinator, source, target, spans) for spans, source, target in moves]
    found = _wait(coordinator, {move.id for move in begun}, timeout) if wait else _fetch(coordinator)
    ids = {move.id for move in begun}
    mine = [one for one in found if one.move.id in ids]
    _show(mine, how)
    bad = [one for one in mine if one.move.step in ("cancelled", "failed")]
    return int(Exit.ERROR if bad else Exit.OK)


def show(address: str | None, how: Output) -> int:
    """Those under way and those that ended of late."""
    _show(_fetch(find_address(address)), how)
    return int(Exit.OK)


def cancel(address: str | None, move_id: str, how: Output) -> int:
    """Raises Failure when it is committed already."""
    with coordination(find_address(address)) as stub:
        answer: pb.CancelMoveResponse = stub.CancelMove(
            pb.CancelMoveRequest(id=move_id), timeout=_CALL_SECONDS
        )
    if answer.move.step != "cancelled":
        raise Failure(f"move {move_id} is {answer.move.step}: it cannot be cancelled any more")
    _show([pb.MoveStatus(move=answer.move)], how)
    return int(Exit.OK)


def document_of(status: pb.MoveStatus) -> dict[str, Any]:
    """What ``-o json`` says of a move."""
    move, said = status.move, status.progress
    return {
        "id": move.id,
        "slots": slots.text_of((span.first, span.last) for span in move.slots),
        "slot_count": sum(span.last - span.first + 1 for span in move.slots),
        "from": move.source,
        "to": move.target,
        "step": move.step,
        "attempt": move.attempt,
        "target_step": said.step,
        "bytes": said.bytes,
        "bytes_total": max(said.bytes_total, said.bytes),
        "bytes_per_second": said.bytes_per_second,
        "behind_ms": said.behind_ms,
        "eta_seconds": _eta(said),
        "reason": move.reason,
    }


def _eta(said: pb.MoveProgress) -> float | None:
    """Of the copy; None: nobody can tell."""
    if said.step != "copying" or not said.bytes_per_second:
        return None
    return round(max(0, said.bytes_total - said.bytes) / said.bytes_per_second, 1)


def _wanted(
    coordinator: str, asked: str | None, count: int, source: int | None, target: int
) -> dict[int, list[Span]]:
    with coordination(coordinator) as stub:
        status: pb.ClusterStatus = stub.GetClusterStatus(pb.GetClusterStatusRequest(), timeout=_CALL_SECONDS)
    shards = {shard.id for shard in status.shards}
    for shard in (target, *([] if source is None else [source])):
        if shard not in shards:
            raise Failure(f"there is no shard {shard}", Exit.NOT_FOUND)
    owners = slots.owners_of(_topology(coordinator).slot_owners)
    try:
        if asked is not None:
            wanted = slots.by_source(owners, slots.parse(asked), target)
            if source is not None and set(wanted) != {source}:
                raise ValueError(f"not all of these slots are at shard {source}")
            return wanted
        if source is None or count < 1:
            raise ValueError("say which slots: --slots 0-99,200, or --count and --from")
        if source == target:
            raise ValueError(f"shard {target} has its slots already")
        return {source: slots.last_of(owners, source, count)}
    except ValueError as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error


def _topology(coordinator: str) -> pb.Topology:
    with discovery(coordinator) as stub:
        view: pb.ClusterView = stub.GetTopology(pb.GetTopologyRequest(), timeout=_CALL_SECONDS)
        return view.topology


def _begin(coordinator: str, source: int, target: int, spans: Sequence[Span]) -> pb.Move:
    request = pb.MoveSlotsRequest(
        slots=[pb.SlotSpanRef(first=first, last=last) for first, last in spans],
        source=source,
        target=target,
        id=uuid.uuid4().hex[:12],
    )
    with coordination(coordinator) as stub:
        answer: pb.MoveSlotsResponse = stub.MoveSlots(request, timeout=_CALL_SECONDS)
        return answer.move


def _fetch(coordinator: str) -> list[pb.MoveStatus]:
    with coordination(coordinator) as stub:
        answer: pb.ListMovesResponse = stub.ListMoves(pb.ListMovesRequest(), timeout=_CALL_SECONDS)
        return list(answer.moves)


def _wait(coordinator: str, ids: set[str], timeout: float) -> list[pb.MoveStatus]:
    """Raises Failure when they take longer: they go on."""
    ends = time.monotonic() + timeout
    with progress("moving slots", None) as advance:
        while time.monotonic() < ends:
            found = [one for one in _fetch(coordinator) if one.move.id in ids]
            if all(one.move.step in _ENDED for one in found):
                return found
            done = sum(one.progress.bytes for one in found)
            advance(done, ", ".join(f"{one.move.step} {one.progress.step}".strip() for one in found))
            time.sleep(_POLL)
    raise Failure(
        f"not all moves have ended after {timeout:g} s: they go on; aidb-admin moves tells how",
        Exit.UNAVAILABLE,
    )


def _show_plan(plan: list[dict[str, Any]], how: Output) -> None:
    if how is Output.JSON:
        output.document(plan)
        return
    rows = [(str(one["from"]), str(one["to"]), one["slots"]) for one in plan]
    output.table(("FROM", "TO", "SLOTS"), rows)


def _show(found: Iterable[pb.MoveStatus], how: Output) -> None:
    documents = [document_of(status) for status in found]
    if how is Output.JSON:
        output.document(documents)
        return
    output.table(_COLUMNS, [_row(one) for one in documents])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    live = one["step"] in ("prepared", "fenced")
    step = f"{one['step']}: {one['target_step']}" if live and one["target_step"] else one["step"]
    eta = "" if one["eta_seconds"] is None else f"{one['eta_seconds']:.0f} s"
    return (
        one["id"],
        f"{one['slot_count']}",
        f"{one['from']}",
        f"{one['to']}",
        step,
        f"{one['attempt']}",
        output.human_bytes(one["bytes"]) if one["bytes"] else "",
        f"{output.human_bytes(one['bytes_per_second'])}/s" if live and one["bytes_per_second"] else "",
        f"{one['behind_ms']} ms" if live else "",
        eta,
        one["reason"],
    )
