"""`make bench-scaling`: does a shard cost more because there are others, what does an idle one cost, and how
long does a new topology of a thousand shards take to reach clients?

Two clusters on this machine, of one shard and of ten; each shard has a primary and a cache replica. In each
round both get the same load in turn, on one shard, gets and puts by a fixed schedule; which comes first is
random, and whoever is not measured is stopped (SIGSTOP). CPU time, user and system, of the processes of the
loaded shard, by /proc. What idle shards cost is measured in the cluster of ten, afterwards.

The topology of a thousand shards is real, its members are not: they have addresses that nobody listens on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP

from aidb_coordinator import codec
from aidb_coordinator.store.file import FileStore
from aidb_coordinator.topology import Member, Topology
from aidb_node import _native

import aidb
from aidb.slots import slot_of
from aidb.topology import View
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import node_pb2, storage_pb2, storage_pb2_grpc
from benchmarks.placement import Cluster as Placed
from tests.coordinator.process import CoordinatorProcess, until
from tests.node.process import NodeProcess

SHARDS = 10
# Of the load: one at a time each.
THREADS = 8
MOST_OFF = 0.10
MOST_IDLE = 0.01
_BEGIN, _END = "<!-- bench-scaling: begin -->", "<!-- bench-scaling: end -->"


class Shards:
    """A cluster of so many shards, each with a primary and a replica, as `aidb up` would run it."""

    def __init__(self, root: Path, shards: int) -> None:
        root.mkdir()
        objects = ("--objects", (root / "objects").as_uri())
        self.coordinator = CoordinatorProcess(
            root / "coordinator",
            *("--shards", str(shards), "--takeover", "off", "--same-machine", *objects),
            log=root / "coordinator.log",
        )
        self.primaries: list[NodeProcess] = []
        self.replicas: list[NodeProcess] = []
        try:
            for shard in range(shards):
                data = root / f"shard-{shard}"
                self.primaries.append(
                    NodeProcess(self.coordinator.address, data, *objects, shard=shard).ready()
                )
                self.replicas.append(
                    NodeProcess(
                        self.coordinator.address, root / f"replica-{shard}", shard=shard, role="replica"
                    ).ready()
                )
            self.wait_healthy()
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        return [node.process.pid for node in (*self.primaries, *self.replicas)] + [
            self.coordinator.process.pid
        ]

    def pids_of(self, shards: Sequence[int]) -> list[int]:
        return [node[shard].process.pid for shard in shards for node in (self.primaries, self.replicas)]

    def wait_healthy(self) -> None:
        def healthy() -> bool:
            view: pb.ClusterView = self.coordinator.discovery.GetTopology(pb.GetTopologyRequest(), timeout=10)
            states = [member.state for member in view.health.members]
            return len(states) == len(self.pids) - 1 and set(states) == {pb.MEMBER_HEALTHY}

        until(healthy, 120)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        for pid in self.pids:
            os.kill(pid, SIGSTOP)
        try:
            yield
        finally:
            for pid in self.pids:
                os.kill(pid, SIGCONT)
            self.wait_healthy()

    def close(self) -> None:
        for node in (*self.primaries, *self.replicas):
            node.kill()
        self.coordinator.kill()


@dataclass(frozen=True)
class Refresh:
    """Of one new version of the topology: seconds until it was known, CPU seconds that it took."""

    seconds: float
    cpu: float


def cpu_seconds(pid: int) -> float:
    """Of a process so far, to the nanosecond; what threads used that have ended is left out."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Load:
    """Gets and puts of one shard's keys, by turns, at a fixed rate, over connections to its primary."""

    def __init__(self, cluster: Shards, options: argparse.Namespace) -> None:
        tag = next(f"t{number}" for number in range(10_000) if slot_of(b"t%d" % number) < 1_000)
        self._keys = [f"{{{tag}}}-{number:08}".encode() for number in range(options.keys)]
        self._value = random.Random(options.seed).randbytes(options.value_bytes)
        self._options = options
        self._stubs = [storage_pb2_grpc.StorageStub(node.channel) for node in cluster.primaries[:1]] * THREADS
        self._cluster = cluster

    def fill(self) -> None:
        for begin in range(0, len(self._keys), 1_000):
            ops = [
                storage_pb2.WriteOp(key=key, value=self._value) for key in self._keys[begin : begin + 1_000]
            ]
            self._stubs[0].BatchPut(storage_pb2.BatchPutRequest(ops=ops), timeout=60)

    def run(self) -> float:
        """CPU-us of shard 0 per operation."""
        pids = self._cluster.pids_of([0])
        with ThreadPoolExecutor(THREADS) as pool:
            begin = time.monotonic()
            before = sum(map(cpu_seconds, pids))
            done = sum(pool.map(lambda thread: self._thread(thread, begin), range(THREADS)))
            spent = sum(map(cpu_seconds, pids)) - before
        return spent * 1e6 / done

    def _thread(self, thread: int, begin: float) -> int:
        chance = random.Random(self._options.seed + thread)
        stub, each = self._stubs[thread], THREADS / self._options.rate
        count = round(self._options.seconds / each)
        for number in range(count):
            # A machine that is busy with other things may fall behind: as many operations, later.
            time.sleep(max(0.0, begin + number * each - time.monotonic()))
            key = chance.choice(self._keys)
            if number % 2:
                stub.Put(storage_pb2.PutRequest(key=key, value=self._value), timeout=60)
            else:
                stub.Get(storage_pb2.GetRequest(key=key), timeout=60)
        return count


def rounds(one: Shards, ten: Shards, options: argparse.Namespace) -> list[tuple[float, float]]:
    """CPU-us per operation, alone and beside nine idle shards."""
    rng = random.Random(options.seed)
    loads = {cluster: Load(cluster, options) for cluster in (one, ten)}
    for load in loads.values():
        load.fill()
        load.run()
    found = []
    for number in range(options.rounds):
        pair = {}
        for cluster, other in rng.sample([(one, ten), (ten, one)], 2):
            with other.stopped():
                pair[cluster] = loads[cluster].run()
        found.append((pair[one], pair[ten]))
        print(f"round {number + 1}: {pair[one]:.2f} us alone, {pair[ten]:.2f} us beside nine", flush=True)
    return found


def idle(cluster: Shards, seconds: float) -> dict[str, float]:
    """Part of a core that each idle process uses, by its role: the mean."""
    others = range(1, len(cluster.primaries))
    groups = {
        "primary": [cluster.primaries[shard].process.pid for shard in others],
        "replica": [cluster.replicas[shard].process.pid for shard in others],
        "coordinator": [cluster.coordinator.process.pid],
    }
    before = {role: sum(map(cpu_seconds, pids)) for role, pids in groups.items()}
    begin = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    return {
        role: (sum(map(cpu_seconds, pids)) - before[role]) / took / len(pids) for role, pids in groups.items()
    }


def thousand() -> Topology:
    """After a hundred of 1,100 shards have left."""
    placed = Placed([0] * (1 << 14))
    placed.reshape(set(range(1_100)))
    placed.reshape(set(random.Random(1).sample(range(1_100), 1_000)))
    document = placed.document()
    shards = tuple(
        replace(
            shard,
            primary=None if shard.primary is None else _nowhere(shard.primary),
            replicas=tuple(map(_nowhere, shard.replicas)),
        )
        for shard in document.shards
    )
    return replace(document, shards=shards)


def _nowhere(member: Member) -> Member:
    return replace(member, address=f"127.0.0.1:{9 + member.shard % 500}", metrics_address="")


def decoding(document: Topology) -> float:
    """CPU seconds of a Python client for one version: protobuf, and what it routes by."""
    content = pb.ClusterView(topology=codec.to_proto(document)).SerializeToString()
    took = []
    for _ in range(7):
        begin = time.process_time()
        View.of(pb.ClusterView.FromString(content))
        took.append(time.process_time() - begin)
    return statistics.median(took)


def refreshes(root: Path, document: Topology, count: int) -> tuple[list[float], list[Refresh]]:
    """Seconds until a Python client knows a new version, and what a router takes."""
    store = FileStore(root / "coordinator")
    store.swap(None, document)
    store.close()
    # Its members are nowhere: there is nobody to be probed.
    coordinator = CoordinatorProcess(
        root / "coordinator",
        *("--takeover", "off", "--autoscale", "off", "--probe-period-ms", "3600000"),
        log=root / "coordinator.log",
    )
    known_by_client, known_by_router = [], []
    try:
        router = NodeProcess(coordinator.address, root / "router", role="router").ready()
        try:
            with aidb.connect(coordinator.address, timeout=60) as client:
                for number in range(count + 1):
                    spent = cpu_seconds(router.process.pid)
                    before = client._routing.view.version
                    begin = time.monotonic()
                    _change(coordinator, number)
                    until(lambda before=before: client._routing.view.version > before, 120)  # type: ignore[misc]
                    took = time.monotonic() - begin
                    newest = client._routing.view.version
                    until(lambda newest=newest: _version_at(router) >= newest, 120)  # type: ignore[misc]
                    known = Refresh(time.monotonic() - begin, cpu_seconds(router.process.pid) - spent)
                    # The first comes while the coordinator still finds out that nobody is there.
                    if number:
                        known_by_client.append(took)
                        known_by_router.append(known)
        finally:
            router.kill()
    finally:
        coordinator.kill()
    return known_by_client, known_by_router


def _change(coordinator: CoordinatorProcess, number: int) -> None:
    """A new version: one more member."""
    name = f"router-{number}-made-up"
    member = pb.Member(name=name, address="127.0.0.1:1", role=pb.ROLE_ROUTER)
    request = pb.RegisterRequest(member=member, process_id=name, wall_clock_ms=time.time_ns() // 1_000_000)
    coordinator.coordination.Register(request, timeout=300)


def _version_at(router: NodeProcess) -> int:
    info: node_pb2.NodeInfo = router.node.GetNodeInfo(node_pb2.GetNodeInfoRequest(), timeout=10)
    return info.topology_version


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a window")
    parser.add_argument("--rate", type=float, default=1000.0, help="operations a second")
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--refreshes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="keep the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aidb-scaling-") as name:
        root = Path(name)
        with (
            contextlib.closing(Shards(root / "one", 1)) as one,
            contextlib.closing(Shards(root / "ten", SHARDS)) as ten,
        ):
            pairs = rounds(one, ten, options)
            with one.stopped():
                idles = idle(ten, options.idle_seconds)
        print(", ".join(f"idle {role} {part:.2%}" for role, part in idles.items()), flush=True)
        document = thousand()
        by_client, by_router = refreshes(root, document, options.refreshes)
    ratio = statistics.median(beside / alone for alone, beside in pairs)
    shard = idles["primary"] + idles["replica"]
    size = codec.to_proto(document).ByteSize()
    lines = [
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} cores, build {_native.BUILD_PROFILE}, "
        f"seed {options.seed}; {options.rounds} rounds of {options.seconds:g} s, "
        f"{options.rate:.0f} operations a second, half of them puts.",
        "",
        _row(("what", "figure", "target", "")),
        "|---|---|---|---|",
        _row(
            ("CPU-µs per operation, one shard", f"{statistics.median(one for one, _ in pairs):.2f}", "", "")
        ),
        _row(
            ("the same beside nine idle shards", f"{statistics.median(ten for _, ten in pairs):.2f}", "", "")
        ),
        _row(
            ("median of the rounds' ratios", f"{ratio:.3f}", "0.90 to 1.10", _met(abs(ratio - 1) <= MOST_OFF))
        ),
        _row(("an idle primary, of a core", f"{idles['primary']:.2%}", "", "")),
        _row(("an idle cache replica", f"{idles['replica']:.2%}", "", "")),
        _row(("an idle shard, both", f"{shard:.2%}", "at most 1 %", _met(shard <= MOST_IDLE))),
        _row(("the coordinator of ten idle shards", f"{idles['coordinator']:.2%}", "", "")),
        _row(("topology of 1,000 shards, protobuf", f"{size / 1e6:.2f} MB", "", "")),
        _row(
            (
                "a Python client knows a new version of it after",
                f"{statistics.median(by_client) * 1000:.0f} ms (slowest {max(by_client) * 1000:.0f})",
                "",
                "",
            )
        ),
        _row(("CPU time of a Python client for that", f"{decoding(document) * 1000:.0f} ms", "", "")),
        _row(
            (
                "a router knows it after",
                f"{statistics.median(one.seconds for one in by_router) * 1000:.0f} ms "
                f"(slowest {max(one.seconds for one in by_router) * 1000:.0f})",
                "",
                "",
            )
        ),
        _row(
            (
                "CPU time of a router for that",
                f"{statistics.median(one.cpu for one in by_router) * 1000:.0f} ms",
                "",
                "",
            )
        ),
    ]
    print("\n".join(lines))
    if options.page:
        text = options.page.read_text()
        before, after = text.partition(_BEGIN)[0], text.partition(_END)[2]
        options.page.write_text("\n".join([before + _BEGIN, *lines, _END]) + after)
    return 0 if abs(ratio - 1) <= MOST_OFF and shard <= MOST_IDLE else 1


def _met(met: bool) -> str:
    return "met" if met else "**missed**"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
