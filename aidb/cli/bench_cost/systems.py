"""The two deployments. Each is fed by the same operations in the same groups of calls.

AiDb: one primary with its archive and snapshots in an object store, and cache replicas that read through a
proxy that counts. Three copies: three primaries without an object store, each with all data; the writes that
the first one gets go to the other two as well, through proxies that count, as a replicating leader would send
them: no more than the calls themselves, in batches.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from aidb.cli.bench_cost.counting_proxy import CountingProxy
from aidb.cli.bench_cost.nodes import Node, Program
from aidb.cli.bench_cost.usage import Usage
from aidb.cli.exits import Failure
from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb

_CALL_SECONDS = 60.0
_SETTLE_SECONDS = 120.0
_WRITES = ("create", "list", "delete")

# (key, value, ttl in ms)
Put = tuple[bytes, bytes, int]


class System(Protocol):
    """``settle`` waits until what was written is flushed, and archived."""

    def write(self, puts: list[Put]) -> None: ...
    def read(self, keys: list[bytes]) -> set[bytes]:
        """Those that are there."""

    def settle(self) -> None: ...
    def usage(self) -> Usage: ...


def _put(node: Node, puts: list[Put]) -> None:
    request = pb.BatchPutRequest(
        ops=[pb.WriteOp(key=key, value=value, ttl_ms=ttl) for key, value, ttl in puts]
    )
    answer = node.storage.BatchPut(request, timeout=_CALL_SECONDS)
    failed = [result.error for result in answer.results if result.HasField("error")]
    if failed:
        raise Failure(f"a put failed: {failed[0].message}")


def _get(node: Node, keys: list[bytes]) -> Iterator[bytes]:
    answer = node.storage.BatchGet(pb.BatchGetRequest(keys=keys), timeout=_CALL_SECONDS)
    for key, result in zip(keys, answer.results, strict=True):
        if result.HasField("error"):
            raise Failure(f"a get failed: {result.error.message}")
        if result.found:
            yield key


def _coordinator(stack: ExitStack, root: Path) -> Program:
    arguments = ["aidb_coordinator", "--data", str(root / "coordinator"), "--listen", "127.0.0.1:0"]
    program = Program.start([*arguments, "--shards", "1"], root / "coordinator.log")
    stack.callback(program.stop)
    return program


def _member(stack: ExitStack, root: Path, coordinator: str, role: str, name: str, *more: str) -> Node:
    arguments = ["aidb_node", role, "--coordinator", coordinator, "--name", name, "--listen", "127.0.0.1:0"]
    data = root / name if role == "primary" else None
    arguments += ["--shard", "0", *(("--data", str(data)) if data else ()), *more]
    node = Node(Program.start(arguments, root / f"{name}.log", data))
    stack.callback(node.close)
    return node


class WithObjectStore:
    """AiDb as it is."""

    def __init__(self, stack: ExitStack, root: Path, replicas: int, cache_bytes: int) -> None:
        root.mkdir()
        self._objects = root / "objects"
        self._primary: Node | None = None
        self._proxy = stack.enter_context(CountingProxy(self._target))
        coordinator = _coordinator(stack, root).address
        objects = ("--objects", self._objects.as_uri(), "--snapshot-every", "86400", "--upload-rate", "0")
        quiet = ("--verify-every", "0", "--drill-every", "0", "--advertise", self._proxy.address)
        self._primary = _member(stack, root, coordinator, "primary", "primary", *objects, *quiet)
        self._replicas = [
            _member(stack, root, coordinator, "replica", f"replica-{n}", "--cache-bytes", str(cache_bytes))
            for n in range(replicas)
        ]

    def _target(self) -> str:
        return "" if self._primary is None else self._primary.program.address

    @property
    def _nodes(self) -> list[Node]:
        assert self._primary is not None
        return [self._primary, *self._replicas]

    def write(self, puts: list[Put]) -> None:
        _put(self._nodes[0], puts)

    def read(self, keys: list[bytes]) -> set[bytes]:
        """Each key at its replica, so that caches add up."""
        if not self._replicas:
            return set(_get(self._nodes[0], keys))
        found: set[bytes] = set()
        for number, replica in enumerate(self._replicas):
            own = [key for key in keys if zlib.crc32(key) % len(self._replicas) == number]
            if own:
                found.update(_get(replica, own))
        return found

    def settle(self) -> None:
        """With a snapshot, which the archive goes on from."""
        primary = self._nodes[0]
        ended = primary.node.Backup(node_pb2.BackupRequest(), timeout=_CALL_SECONDS).snapshots_ended
        ends = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < ends:
            stats = primary.stats()
            archived = stats.durability.archived_lsn >= stats.engine.synced_lsn
            if archived and stats.durability.snapshots_ended > ended:
                if stats.durability.snapshot_error:
                    raise Failure(f"no snapshot was taken: {stats.durability.snapshot_error}")
                return
            time.sleep(0.1)
        raise Failure(f"the second copy is not complete after {_SETTLE_SECONDS:.0f} s")

    def usage(self) -> Usage:
        requests = {one.operation: one for one in self._nodes[0].stats().durability.requests}
        if not requests:
            raise Failure("the native module is older than this program and counts no requests: make setup")
        disk = [node.program.disk_bytes for node in self._nodes]
        return Usage(
            tables=sum(tables for tables, _ in disk),
            log=sum(log for _, log in disk),
            objects=sum(path.stat().st_size for path in self._objects.rglob("*") if path.is_file()),
            memory=sum(node.stats().memory_bytes for node in self._nodes),
            network=self._proxy.bytes,
            uploaded=requests["create"].bytes,
            downloaded=requests["get"].bytes,
            puts=sum(requests[name].requests for name in _WRITES),
            gets=sum(one.requests for name, one in requests.items() if name not in _WRITES),
            cpu_us=sum(node.program.cpu_us for node in self._nodes),
        )


class ThreeCopies:
    """All data three times."""

    def __init__(self, stack: ExitStack, root: Path) -> None:
        root.mkdir()
        self._nodes: list[Node] = []
        self._followers: list[tuple[CountingProxy, Node]] = []
        for number in range(3):
            place = root / str(number)
            place.mkdir()
            coordinator = _coordinator(stack, place).address
            node = _member(stack, place, coordinator, "primary", "primary")
            self._nodes.append(node)
            if number:
                proxy = stack.enter_context(CountingProxy(lambda node=node: node.program.address))  # type: ignore[misc]
                behind = Node(Program(node.program.process, proxy.address, None))
                stack.callback(behind.disconnect)
                self._followers.append((proxy, behind))
        self._turn = 0

    def write(self, puts: list[Put]) -> None:
        _put(self._nodes[0], puts)
        for _, follower in self._followers:
            _put(follower, puts)

    def read(self, keys: list[bytes]) -> set[bytes]:
        """Every copy has everything: no node asks another one."""
        self._turn += 1
        return set(_get(self._nodes[self._turn % len(self._nodes)], keys))

    def settle(self) -> None:
        for node in self._nodes:
            node.node.Flush(node_pb2.FlushRequest(), timeout=_CALL_SECONDS)

    def usage(self) -> Usage:
        disk = [node.program.disk_bytes for node in self._nodes]
        return Usage(
            tables=sum(tables for tables, _ in disk),
            log=sum(log for _, log in disk),
            memory=sum(node.stats().memory_bytes for node in self._nodes),
            network=sum(proxy.bytes for proxy, _ in self._followers),
            cpu_us=sum(node.program.cpu_us for node in self._nodes),
        )
