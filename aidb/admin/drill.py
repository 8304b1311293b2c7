"""`drill`: restores the newest state of shards to scratch and compares it with their primaries."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import grpc

from aidb.admin import show
from aidb.admin.backup import CALL_SECONDS, primaries, refused
from aidb.admin.places import Where, catalogs
from aidb.admin.recover import Drilled, recovery
from aidb.cli import output
from aidb.cli.connection import find_address, find_tls
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.security.client import calling
from aidb.v1 import node_pb2, storage_pb2
from aidb.v1.node_pb2_grpc import NodeStub
from aidb.v1.storage_pb2_grpc import StorageStub

_POLL = 0.1
# Of checkpoints that a drill which was killed left.
_PREFIX = "drill-"
_LEFT_OVER_SECONDS = 86_400.0


def drill(
    where: Where,
    address: str | None,
    shard: int | None,
    scratch: Path | None,
    how: Output,
    *,
    at_once: int,
    timeout: float,
) -> int:
    """Of all shards, one after the other, or of one. Exit code 1 if anything differs."""
    run = recovery().drill
    code = Exit.OK
    documents = []
    for number, primary in primaries(find_address(address), shard):
        with ExitStack() as stack:
            (catalog,) = stack.enter_context(catalogs(where, number))
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aidb-drill-", dir=scratch)))
            source, lsn = _checkpoint(stack, primary, number, timeout)
            advance = stack.enter_context(progress(f"shard {number}", None))
            done = run(catalog, source, lsn, place / "copy", at_once=at_once, seen=show.restoring(advance))
        if done.problem:
            code = Exit.ERROR
        if how is Output.JSON:
            documents.append({"shard": number, "problem": done.problem} | _document(done.as_dict()))
        else:
            _print(number, done)
    if how is Output.JSON:
        output.document(documents)
    return int(code)


def _checkpoint(stack: ExitStack, primary: str, shard: int, timeout: float) -> tuple[Path, int]:
    """A checkpoint of the primary, archived through its LSN; it goes with the ``stack``. Raises Failure."""
    channel = stack.enter_context(calling(primary, (), find_tls(primary)))
    name = f"{_PREFIX}{uuid.uuid4().hex}"
    try:
        answer = NodeStub(channel).Checkpoint(node_pb2.CheckpointRequest(name=name), timeout=CALL_SECONDS)
        source = Path(answer.path)
        if not source.is_dir():
            raise Failure(
                f"shard {shard}'s primary made a checkpoint in {source}, which is not on this machine: run "
                "the drill there, or let the primary do it (aidb-node primary --drill-every)"
            )
        stack.callback(shutil.rmtree, source, ignore_errors=True)
        _remove_left_over(source.parent)
        ends = time.monotonic() + timeout
        while True:
            stats = StorageStub(channel).GetStats(storage_pb2.GetStatsRequest(), timeout=CALL_SECONDS)
            if stats.durability.archived_lsn >= answer.lsn:
                return source, answer.lsn
            if time.monotonic() > ends:
                error = stats.durability.archive_error or "it may catch up"
                raise Failure(
                    f"shard {shard}: lsn {answer.lsn} was not archived in {timeout:.0f} s: {error}",
                    Exit.UNAVAILABLE,
                )
            time.sleep(_POLL)
    except grpc.RpcError as error:
        raise refused(error, primary, shard) from error


def _remove_left_over(directory: Path) -> None:
    for path in directory.glob(f"{_PREFIX}*"):
        if path.stat().st_mtime < time.time() - _LEFT_OVER_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _document(done: dict[str, Any]) -> dict[str, Any]:
    for one in done["compared"]["differences"]:
        one["key"] = cast(bytes, one["key"]).hex()
    return done


def _print(shard: int, drilled: Drilled) -> None:
    done = drilled.as_dict()
    compared = done["compared"]
    if drilled.problem:
        print(f"shard {shard}: {drilled.problem}")
        for one in compared["differences"]:
            print(f"  {one['key']!r} {one['what']}")
        return
    keys, size = compared["entries"], output.human_bytes(compared["bytes"])
    print(
        f"shard {shard}: {keys} keys ({size}) at lsn {done['lsn']} are the same in a restore from snapshot "
        f"{done['snapshot']}; sha256 {compared['sha256'][:16]}"
    )
    fetched = output.human_bytes(done["downloaded_bytes"] + done["log_bytes"])
    print(
        f"  {fetched} restored in {done['restore_seconds']:.1f} s, "
        f"compared in {done['compare_seconds']:.1f} s"
    )
