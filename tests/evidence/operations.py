"""`make evidence-operations ROUNDS=30 SEED=1`: a local cluster changes its shape while programs are killed.

Each round asks for one operation (shards or replicas come or go, slots are evened) under writers, and at
random moments kills the coordinator, a primary, or the supervisor, pauses and resumes it, or cancels it.
Checked: every operation ends, done or cancelled as it was asked; the topology, the programs and the slots are
then as it says; no acknowledged write is lost or deleted key back; a whole scan finds all keys that nobody
writes; calls end with nothing but an unknown outcome, and that only around the kill of a primary.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

import aidb
from aidb.local import lock
from aidb.local.layout import Layout
from aidb.v1 import cluster_pb2 as pb
from tests.cli.command import Command
from tests.coordinator.process import until
from tests.evidence.report import Report, options
from tests.evidence.status import missing
from tests.moves.writers import Writers
from tests.scaling.local import Scaling

MOST_SHARDS = 4
MOST_REPLICAS = 2
KEYS = 150
STILL = 400
END_SECONDS = 300.0
MISCHIEF = ("coordinator", "coordinator", "primary", "supervisor", "pause", "cancel", "nothing")


class Operations:
    """Runs rounds on one cluster, which lives through all of them."""

    def __init__(self, cluster: Scaling, rng: random.Random, report: Report) -> None:
        self._cluster = cluster
        self._rng = rng
        self._report = report
        self._round = 0
        self._still = {b"still %d" % number: b"v" * 200 for number in range(STILL)}
        self._deleted = [b"deleted %d" % number for number in range(STILL // 4)]
        with aidb.connect(cluster.address) as client:
            client.put_many(self._still.items())
            client.put_many((key, b"gone") for key in self._deleted)
            for key in self._deleted:
                client.delete(key)

    def round(self) -> None:
        """One operation, what happens to it, and all checks."""
        self._round += 1
        cluster, numbers = self._cluster, self._report.numbers
        before = self._shape()
        request = self._choose(before)
        did: list[str] = []
        keys = [b"round %d %d" % (self._round, number) for number in range(KEYS)]
        with Writers(cluster.address, keys, timeout=60.0) as writers:
            self._ask(request)
            for _ in range(self._rng.choice((1, 1, 2))):
                time.sleep(self._rng.uniform(0.0, 2.5))
                did.append(self._mischief(request.id, self._rng.choice(MISCHIEF)))
            operation = self._ended(request.id)
            seen = writers.count
            until(lambda: writers.count > seen + KEYS, END_SECONDS)
        self._wait_whole()
        violations = self._fits(before, operation, "cancel" in did)
        for error in writers.errors:
            if not (isinstance(error, aidb.UnknownOutcome) and "primary" in did):
                violations.append(f"a call ended with {error!r}")
        violations += self._data(writers)
        for what in did:
            numbers[what] += 1
        numbers[operation.kind] += 1
        numbers["acknowledged"] += writers.count
        numbers["slowest_ms"] = max(numbers["slowest_ms"], round(writers.longest * 1000))
        after = {shard: len(names) for shard, names in self._shape().items()}
        self._report.round(
            f"{operation.kind} {operation.state} did={'+'.join(did)} replicas={after}", violations
        )

    def _choose(self, shape: dict[int, set[str]]) -> pb.StartOperationRequest:
        request = pb.StartOperationRequest(id=f"round-{self._round}", asked_by="evidence")
        kinds = ["rebalance"]
        if len(shape) < MOST_SHARDS:
            kinds += ["add_shard"] * 3
        if len(shape) > 1:
            kinds += ["remove_shard"] * 3
        shard = self._rng.choice(sorted(shape))
        kinds += ["remove_replica"] if shape[shard] else []
        kinds += ["add_replica"] if len(shape[shard]) < MOST_REPLICAS else []
        request.kind = self._rng.choice(kinds)
        if request.kind == "add_shard":
            request.replicas = self._rng.choice((0, 1))
            request.count = self._rng.randint(1, MOST_SHARDS - len(shape))
        elif request.kind != "rebalance":
            request.shards.append(shard)
        return request

    def _ask(self, request: pb.StartOperationRequest) -> None:
        def asked() -> bool:
            try:
                self._cluster.send(request)
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return False
            return True

        until(asked, END_SECONDS)

    def _mischief(self, operation_id: str, what: str) -> str:
        """What was done of it."""
        cluster = self._cluster
        if what == "coordinator":
            cluster.kill_coordinator()
        elif what == "primary":
            os.kill(self._rng.choice(until(self._primaries, END_SECONDS)), signal.SIGKILL)
        elif what == "supervisor":
            supervisor = lock.holder(Layout.at(cluster.command.data).lock)
            assert supervisor is not None
            os.kill(supervisor, signal.SIGKILL)
            cluster.command("up", "--detach", "--timeout", "120s")
        elif what in ("pause", "cancel"):
            return self._control(operation_id, what)
        return what

    def _primaries(self) -> list[int]:
        """Their processes, as far as the coordinator has heard of them."""
        status = self._cluster.status()
        return [] if status is None else [one.primary.pid for one in status.shards if one.primary.pid]

    def _control(self, operation_id: str, what: str) -> str:
        try:
            self._cluster.control(operation_id, what)
            if what == "pause":
                time.sleep(self._rng.uniform(0.0, 1.0))
                self._resume(operation_id)
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return "late"  # it has ended, or cannot be cancelled any more
        return what

    def _resume(self, operation_id: str) -> None:
        def resumed() -> bool:
            try:
                self._cluster.control(operation_id, "resume")
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return False
                raise
            return True

        until(resumed, END_SECONDS)

    def _ended(self, operation_id: str) -> pb.Operation:
        try:
            return self._cluster.ended(operation_id, END_SECONDS)
        except AssertionError:
            print(f"  stuck: {self._cluster.look(operation_id)}", flush=True)
            raise

    def _wait_whole(self) -> None:
        last = ""

        def whole() -> bool:
            nonlocal last
            last = missing(self._cluster.status())
            return not last

        try:
            until(whole, END_SECONDS)
        except AssertionError:
            print(f"  not whole: {last}", flush=True)
            raise

    def _shape(self) -> dict[int, set[str]]:
        """The replicas of each shard."""
        status = until(self._cluster.status, END_SECONDS)
        assert status is not None
        return {shard.id: {one.member.name for one in shard.replicas} for shard in status.shards}

    def _fits(self, before: dict[int, set[str]], operation: pb.Operation, cancelled: bool) -> list[str]:
        """What is not as the operation says."""
        after, slots = self._shape(), self._cluster.slots()
        if sum(slots.values()) != 16384:
            return [f"slots are {slots}"]
        if operation.state == "cancelled" and cancelled:
            strangers = after.keys() - before.keys() - set(operation.shards)
            return [f"shards {strangers} came from nowhere"] if strangers else []
        if operation.state != "done":
            return [f"{operation.kind} is {operation.state}: {operation.error}"]
        wanted = {shard: len(names) for shard, names in before.items()}
        if operation.kind == "add_shard":
            wanted |= dict.fromkeys(operation.shards, operation.replicas)
        elif operation.kind == "remove_shard":
            wanted = {shard: count for shard, count in wanted.items() if shard not in operation.shards}
        elif operation.kind != "rebalance":
            wanted[operation.shards[0]] = operation.replicas
        found = {shard: len(names) for shard, names in after.items()}
        violations = [] if found == wanted else [f"replicas of shards are {found}, not {wanted}"]
        if operation.kind == "remove_shard" or operation.kind in ("add_shard", "rebalance"):
            spread = max(slots.values()) - min(slots.values())
            violations += [f"slots are {slots}"] if spread > 1 else []
        return violations

    def _data(self, writers: Writers) -> Iterator[str]:
        with aidb.connect(self._cluster.address, timeout=60.0) as client:
            yield from writers.problems(client)
            found = {entry.key: entry.value for entry in client.scan()}
            lost = [key for key, value in self._still.items() if found.get(key) != value]
            back = [key for key in self._deleted if key in found]
            if lost or back:
                yield f"a scan lacks {len(lost)} keys, {lost[:3]}, and has {len(back)} deleted, {back[:3]}"


@contextmanager
def local_cluster(root: Path) -> Iterator[Scaling]:
    command = Command(root, root / "data")
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 1, "--timeout", "120s")
    cluster = Scaling(command)
    try:
        yield cluster
    finally:
        cluster.close()
        command.run("down")


def main() -> int:
    """Exit code 0 only when nothing was violated."""
    asked = options("operations")
    report = Report("operations", asked.seed)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="aidb-operations-") as directory,
        local_cluster(Path(directory)) as cluster,
    ):
        operations = Operations(cluster, random.Random(asked.seed), report)
        for _ in range(asked.rounds):
            operations.round()
    print(report.last_line(seconds=round(time.monotonic() - started)))
    hit = asked.rounds < 20 or all(report.numbers[what] for what in MISCHIEF)
    return report.exit_code(asked.rounds, hit)


if __name__ == "__main__":
    sys.exit(main())
