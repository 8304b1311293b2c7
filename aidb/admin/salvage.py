"""`salvage`: what a disk that was kept aside has beyond the cut of the epoch that superseded it (D6), and how
it comes back into the cluster.

Only the log on the disk is read, nothing on it is changed: what the archive lacks is never dropped from
the log (D7).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import grpc

import aidb
from aidb.admin import show
from aidb.admin.native import inspector
from aidb.cli import output
from aidb.cli.connection import find_address, find_tls
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.client import Client
from aidb.durability.salvage_plan import Action, Decision, Item, Tail, counts, cut_of, decide
from aidb.errors import AidbError, ConditionFailed
from aidb.formats import NotExpressible, open_format
from aidb.formats.choice import FormatName
from aidb.interface import Write
from aidb.security.client import calling
from aidb.v1 import cluster_pb2 as pb
from aidb.v1.cluster_pb2_grpc import DiscoveryStub

_IDENTITY = "identity.json"
_STORE, _LOG = "store", "log"
_BATCH = 200
_CALL_SECONDS = 10.0
_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class _Disk:
    """``store`` has the log. ``epoch`` is the last one in it."""

    store: Path
    cluster_uid: str
    shard: int
    disk_id: str
    epoch: int


@dataclass(slots=True)
class _Outcome:
    """``error``: why it was not carried out, although it was asked for."""

    decision: Decision
    applied: bool = False
    error: str = ""


def salvage(
    directory: Path,
    address: str | None,
    how: Output,
    *,
    apply: bool,
    only_existing: bool,
    export: Path | None,
    format: str,
    timeout: float,
) -> int:
    """``directory``: a primary's data directory, or a store in it that a restore kept aside."""
    disk = _disk(directory)
    found = find_address(address)
    shard = _check(disk, _topology(found))
    with progress("reading the log", None) as advance:
        tail = Tail(lambda epoch: cut_of(shard, epoch))
        for record in _records(disk.store):
            tail.add(record)
            if tail.records % 1000 == 0:
                advance(0, f"{tail.records} records beyond the cut")
    with ExitStack() as stack:
        clients = _Clients(stack, found, timeout)
        outcomes = [_Outcome(one) for one in _decisions(clients, tail)]
        if apply:
            with progress("applying", len(outcomes)) as advance:
                _apply(clients, outcomes, only_existing, advance)
    left_out = _export(export, format, tail.items) if export else 0
    if how is Output.JSON:
        output.document(_document(disk, tail, outcomes, apply))
    else:
        _print(disk, tail, outcomes, apply)
        if left_out:
            output.note(f"{left_out} deletes and records that are no {format} were left out of {export}")
    return int(Exit.ERROR if any(one.error for one in outcomes) or tail.missing else Exit.OK)


def _disk(directory: Path) -> _Disk:
    """Raises Failure."""
    places = [place for place in (directory, directory.parent) if (place / _IDENTITY).is_file()]
    if not places:
        raise Failure(f"{directory} is no primary's data directory, nor a store in one", Exit.BAD_INPUT)
    identity = places[0] / _IDENTITY
    store = directory if (directory / _LOG).is_dir() else directory / _STORE
    if not (store / _LOG).is_dir():
        raise Failure(f"there is no store in {directory}", Exit.BAD_INPUT)
    try:
        fields = json.loads(identity.read_bytes())
        uid, shard, disk_id = str(fields["cluster_uid"]), int(fields["shard"]), str(fields["disk_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{identity} is damaged: {error}", Exit.BAD_INPUT) from error
    epoch = max((record["epoch"] for record in _records(store)), default=0)
    if not epoch:
        raise Failure(f"the log in {store} is empty: there is nothing to salvage", Exit.NOT_FOUND)
    return _Disk(store, uid, shard, disk_id, epoch)


def _topology(address: str) -> pb.Topology:
    """Raises Failure."""
    with calling(address, (), find_tls(address)) as channel:
        try:
            view = DiscoveryStub(channel).GetTopology(pb.GetTopologyRequest(), timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            what = f"{address} does not say where the shards are: {error.details()}"
            raise Failure(what, Exit.UNAVAILABLE) from error
        topology: pb.Topology = view.topology
        return topology


def _check(disk: _Disk, topology: pb.Topology) -> pb.Shard:
    """Whose disk it is. Raises Failure."""
    if disk.cluster_uid != topology.cluster_uid:
        raise Failure(
            f"{disk.store} belongs to cluster {disk.cluster_uid or '(none)'}, "
            f"this is {topology.cluster_uid}: nothing of another cluster is salvaged",
            Exit.BAD_INPUT,
        )
    for shard in topology.shards:
        if shard.id != disk.shard:
            continue
        if cut_of(shard, disk.epoch) is None:
            raise Failure(
                f"{disk.store} ends in epoch {disk.epoch} of shard {shard.id}, which nothing has superseded: "
                "start its primary instead",
                Exit.BAD_INPUT,
            )
        return shard
    raise Failure(f"the cluster has no shard {disk.shard} any more", Exit.BAD_INPUT)


def _records(store: Path) -> Iterator[dict[str, Any]]:
    """Of all segments, in order, up to damage in each. Raises Failure."""
    dump = inspector().dump_log
    segments: list[tuple[int, list[dict[str, Any]]]] = []
    for path in sorted((store / _LOG).iterdir()):
        records: list[dict[str, Any]] = []
        try:
            dump(path, records.append)
        except AidbError as error:
            raise Failure(f"{path}: {error}") from error
        if records:
            segments.append((records[0]["lsn"], records))
    for _, records in sorted(segments, key=lambda segment: segment[0]):
        yield from records


class _Clients:
    """One for each keyspace."""

    def __init__(self, stack: ExitStack, address: str, timeout: float) -> None:
        self._stack = stack
        self._address = address
        self._timeout = timeout
        self._clients: dict[int, Client] = {}

    def of(self, keyspace: int) -> Client:
        if keyspace not in self._clients:
            client = aidb.connect(
                self._address, timeout=self._timeout, tls=find_tls(self._address), keyspace=keyspace
            )
            self._clients[keyspace] = self._stack.enter_context(client)
        return self._clients[keyspace]


def _decisions(clients: _Clients, tail: Tail) -> Iterator[Decision]:
    for keyspace, items in _batches(tail.items, lambda item: item.keyspace):
        keys = [item.key for item in items]
        now_ms = time.time_ns() // 1_000_000
        for item, entry in zip(
            items, clients.of(keyspace).get_entries(keys, consistency="strong"), strict=True
        ):
            yield decide(item, None if entry is None else entry.version, tail.cut, now_ms)


def _apply(clients: _Clients, outcomes: list[_Outcome], only_existing: bool, advance: Any) -> None:
    todo = [
        one
        for one in outcomes
        if one.decision.action in (Action.PUT, Action.DELETE)
        and not (only_existing and one.decision.found is None)
    ]
    done = 0
    for keyspace, batch in _batches(todo, lambda one: one.decision.item.keyspace):
        now_ms = time.time_ns() // 1_000_000
        writes = [_write(one.decision, now_ms) for one in batch]
        result = clients.of(keyspace).write_many(writes)
        for index, one in enumerate(batch):
            error = result.errors.get(index)
            one.applied = error is None
            if isinstance(error, ConditionFailed):
                one.error = "it was written meanwhile: the cluster's is newer"
            elif error is not None:
                one.error = str(error)
        done += len(batch)
        advance(done, f"{done} of {len(todo)}")


def _write(decision: Decision, now_ms: int) -> Write:
    item = decision.item
    ttl_ms = max(1, item.expires_at_ms - now_ms) if item.value is not None and item.expires_at_ms else 0
    return Write(item.key, item.value, ttl_ms, decision.condition)


def _batches(items: Sequence[Any], keyspace: Any) -> Iterator[tuple[int, list[Any]]]:
    for number, group in groupby(sorted(items, key=keyspace), key=keyspace):
        together = list(group)
        for begin in range(0, len(together), _BATCH):
            yield number, together[begin : begin + _BATCH]


def _export(file: Path, format: str, items: list[Item]) -> int:
    """How many could not be written as records. Raises Failure."""
    encode = open_format(cast(FormatName, format), None).encode
    left_out = 0
    try:
        with file.open("wb") as stream:
            for item in items:
                if item.value is None:
                    left_out += 1
                    continue
                try:
                    stream.write(encode(item.key, item.value, item.expires_at_ms))
                except NotExpressible:
                    left_out += 1
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror}", Exit.BAD_INPUT) from error
    return left_out


def _document(disk: _Disk, tail: Tail, outcomes: list[_Outcome], apply: bool) -> dict[str, Any]:
    return {
        "shard": disk.shard,
        "disk_id": disk.disk_id,
        "epoch": disk.epoch,
        "cut": tail.cut,
        "last_lsn": tail.last_lsn,
        "records": tail.records,
        "missing": [{"after_lsn": after, "from_lsn": begin} for after, begin in tail.missing],
        "other_operations": tail.others,
        "dry_run": not apply,
        "counts": counts(one.decision for one in outcomes),
        "applied": sum(one.applied for one in outcomes),
        "failed": sum(bool(one.error) for one in outcomes),
        "items": [_item(one) for one in outcomes],
    }


def _item(outcome: _Outcome) -> dict[str, Any]:
    item = outcome.decision.item
    value = {} if item.value is None else output.json_bytes("value", item.value)
    return {
        **output.json_bytes("key", item.key),
        **value,
        "keyspace": item.keyspace,
        "version": item.version,
        "deleted": item.value is None,
        "expires_at_ms": item.expires_at_ms,
        "cluster_version": outcome.decision.found,
        "action": outcome.decision.action.value,
        "applied": outcome.applied,
        "error": outcome.error,
    }


def _print(disk: _Disk, tail: Tail, outcomes: list[_Outcome], apply: bool) -> None:
    print(
        f"shard {disk.shard}, disk {disk.disk_id}: epoch {disk.epoch}, left behind at lsn {tail.cut}; "
        f"{tail.records} records beyond it, up to lsn {tail.last_lsn}"
    )
    for after, begin in tail.missing:
        print(f"  the log from lsn {after} to {begin} is not on this disk any more")
    if tail.others:
        print(f"  {tail.others} operations of other kinds are left out")
    rows = [
        (
            show.key(one.decision.item.key),
            str(one.decision.item.version),
            show.value(one.decision.item.value),
            "-" if one.decision.found is None else str(one.decision.found),
            one.error or ("applied" if one.applied else one.decision.action.value),
        )
        for one in outcomes[:_SHOWN]
    ]
    if rows:
        output.table(("KEY", "VERSION", "VALUE", "IN THE CLUSTER", "ACTION"), rows)
    if len(outcomes) > _SHOWN:
        print(f"... and {len(outcomes) - _SHOWN} more: -o json or --export has all of them")
    print(", ".join(f"{number} {name}" for name, number in counts(o.decision for o in outcomes).items()))
    if apply:
        print(f"{sum(one.applied for one in outcomes)} applied")
    elif outcomes:
        print("nothing was changed: --apply writes what is to put and to delete")
