"""`backup`: asks the primaries for snapshots and waits for them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc

from aidb.cli import output
from aidb.cli.connection import find_address, find_tls
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.cli.status import fetch
from aidb.errors import TRAILER, AidbError
from aidb.failure import failure_of_status
from aidb.security.client import calling
from aidb.v1 import node_pb2, storage_pb2
from aidb.v1.node_pb2_grpc import NodeStub
from aidb.v1.storage_pb2_grpc import StorageStub

CALL_SECONDS = 10.0
_POLL = 0.1


@dataclass(slots=True)
class _Asked:
    """A snapshot that was asked for; ``ended`` snapshots had ended then."""

    shard: int
    storage: StorageStub
    ended: int
    durability: storage_pb2.DurabilityStats


def backup(
    address: str | None, shard: int | None, name: str, how: Output, *, wait: bool, timeout: float
) -> int:
    """Of all shards, or one."""
    coordinator = find_address(address)
    found, tls = primaries(coordinator, shard), find_tls(coordinator)
    with ExitStack() as stack:
        asked = []
        for number, primary in found:
            channel = stack.enter_context(calling(primary, (), tls))
            try:
                answer = NodeStub(channel).Backup(node_pb2.BackupRequest(name=name), timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                raise refused(error, primary, number) from error
            empty = storage_pb2.DurabilityStats()
            asked.append(_Asked(number, StorageStub(channel), answer.snapshots_ended, empty))
        if not wait:
            output.note(f"asked for {len(asked)} snapshots: aidb-admin backups lists them")
            return int(Exit.OK)
        _wait(asked, time.monotonic() + timeout)
    failed = [one for one in asked if one.durability.snapshot_error]
    if how is Output.JSON:
        output.document([_document(one) for one in asked])
    else:
        for one in asked:
            print(_line(one))
    return int(Exit.ERROR if failed else Exit.OK)


def primaries(address: str, shard: int | None) -> list[tuple[int, str]]:
    """Shards and their primaries' addresses. Raises Failure."""
    status = fetch(address, CALL_SECONDS)
    found = [(one.id, one.primary.member.address) for one in status.shards if shard in (None, one.id)]
    if not found:
        raise Failure(f"there is no shard {shard}", Exit.BAD_INPUT)
    for number, primary in found:
        if not primary:
            raise Failure(f"shard {number} has no primary at the moment", Exit.UNAVAILABLE)
    return found


def _wait(asked: list[_Asked], ends: float) -> None:
    """Raises Failure when the time is over."""
    with progress("snapshots", None) as advance:
        while True:
            for one in asked:
                one.durability = _look(one)
            running = [one for one in asked if one.durability.snapshots_ended <= one.ended]
            if not running:
                return
            done = sum(one.durability.snapshot_bytes_done for one in running)
            total = sum(one.durability.snapshot_bytes for one in running)
            text = f"{output.human_bytes(done)} of {output.human_bytes(total)}, {len(running)} shards left"
            advance(done, text)
            if time.monotonic() > ends:
                shards = ", ".join(str(one.shard) for one in running)
                raise Failure(f"not ready in time: shards {shards}; they go on", Exit.UNAVAILABLE)
            time.sleep(_POLL)


def _look(one: _Asked) -> storage_pb2.DurabilityStats:
    try:
        answer = one.storage.GetStats(storage_pb2.GetStatsRequest(), timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        raise refused(error, f"shard {one.shard}'s primary", one.shard) from error
    found: storage_pb2.DurabilityStats = answer.durability
    return found


def refused(error: grpc.RpcError, address: str, shard: int) -> AidbError:
    """What a primary's answer means."""
    assert isinstance(error, grpc.Call)
    trailers = dict(error.trailing_metadata() or ())
    trailer = trailers.get(TRAILER)
    content = trailer if isinstance(trailer, bytes) else None
    return failure_of_status(error.code().name, error.details() or "", content, address, shard).error


def _document(one: _Asked) -> dict[str, Any]:
    durability = one.durability
    return {
        "shard": one.shard,
        "snapshot": durability.snapshot,
        "lsn": durability.snapshot_lsn,
        "at_ms": durability.snapshot_at_ms,
        "uploaded_bytes": durability.snapshot_uploaded,
        "error": durability.snapshot_error,
    }


def _line(one: _Asked) -> str:
    durability = one.durability
    if durability.snapshot_error:
        return f"shard {one.shard}: {durability.snapshot_error}"
    uploaded = output.human_bytes(durability.snapshot_uploaded)
    what = f"snapshot {durability.snapshot} at lsn {durability.snapshot_lsn}"
    return f"shard {one.shard}: {what}, {uploaded} uploaded"
