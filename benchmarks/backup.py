"""`make bench-backup`: what a backup costs the requests that are served meanwhile.

A primary serves gets and puts by a fixed schedule, well below what it can. In each pair of windows a snapshot
of all its data is uploaded at the default rate limit in one of them, and not in the other; which comes first
alternates. CPU time of an operation is taken from /proc by threads: those that serve and commit (the native
ones, which have names of their own) are the foreground; those of the interpreter make the backup. The whole
process is told beside it. The median of the pairs' ratios comes with the interval that holds it with 95 %.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from pathlib import Path

from aidb_node import _native

from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import CoordinatorProcess
from tests.node.process import NodeProcess

LOAD = Path("target/benchmarks/release/bench-cluster")
MOST = 1.05
_TICK = os.sysconf("SC_CLK_TCK")
_MIB = 1 << 20
# So much of the load, in seconds, comes before a window counts, and is left when the window should be over.
_WARM_UP = 1.0
_SPARE = 3.0


@dataclass(frozen=True, slots=True)
class Window:
    """CPU-µs per operation: of the threads that serve, and of the whole process."""

    foreground: float
    process: float
    uploaded: int


class Threads:
    """CPU time of a process, by whether a thread is the interpreter's."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._python = (self._tasks / str(pid) / "comm").read_text()

    def seconds(self) -> tuple[float, float]:
        """Of the native threads, of all. A thread of the interpreter that has ended counts in neither."""
        native = every = 0.0
        for task in self._tasks.iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                ticks = (task / "stat").read_text().rpartition(")")[2].split()[11:13]
                seconds = sum(map(int, ticks)) / _TICK
                native += seconds * ((task / "comm").read_text() != self._python)
        ticks = (self._tasks.parent / "stat").read_text().rpartition(")")[2].split()[11:13]
        every = sum(map(int, ticks)) / _TICK
        return native, every


class Bench:
    def __init__(self, node: NodeProcess, objects: Path, options: argparse.Namespace) -> None:
        self._node = node
        self._objects = objects
        self._data = objects.parent / "shard-0"
        self._options = options
        self._threads = Threads(node.process.pid)

    def fill(self) -> None:
        self._load("batch-put:100", 0.0, fill=True).wait()
        self._node.node.Flush(node_pb2.FlushRequest(), timeout=600)

    def window(self, with_backup: bool) -> Window:
        options = self._options
        if with_backup:
            self._forget_tables()
        idle = self._stats().requests
        load = self._load("get,put", _WARM_UP + options.seconds + _SPARE)
        try:
            while (before := self._stats()).requests - idle < 2 * options.rate * _WARM_UP:
                if load.poll() is not None:
                    raise SystemExit("the load ended before it had begun to count: give --rate less")
                time.sleep(0.02)
            ended = before.durability.snapshots_ended
            if with_backup:
                ended = self._node.node.Backup(node_pb2.BackupRequest(), timeout=10).snapshots_ended
                while not self._stats().durability.snapshot_bytes_done:
                    time.sleep(0.02)
                before = self._stats()
            native, every = self._threads.seconds()
            time.sleep(options.seconds)
            after = self._stats()
            native_after, every_after = self._threads.seconds()
        finally:
            load.wait()
        if with_backup and after.durability.snapshots_ended > ended:
            raise SystemExit("the backup was done before the window was: give --keys or --value-bytes more")
        while with_backup and self._stats().durability.snapshot_running:
            time.sleep(0.1)
        operations = after.requests - before.requests
        expected = 2 * options.rate * options.seconds
        if operations < 0.9 * expected:
            raise SystemExit(f"the load was not kept up with: {operations} of {expected:.0f} operations")
        done = after.durability.snapshot_bytes_done - before.durability.snapshot_bytes_done
        return Window(
            (native_after - native) / operations * 1e6, (every_after - every) / operations * 1e6, done
        )

    def _stats(self) -> pb.GetStatsResponse:
        answer: pb.GetStatsResponse = self._node.storage.GetStats(pb.GetStatsRequest(), timeout=10)
        return answer

    def _forget_tables(self) -> None:
        """What was uploaded is gone, and its checksums are not known: all of it has to be done again."""
        for tables in self._objects.glob("*/0/sst"):
            shutil.rmtree(tables)
        (self._data / "table-sums.json").unlink(missing_ok=True)

    def _load(self, work: str, seconds: float, *, fill: bool = False) -> subprocess.Popen[bytes]:
        options = self._options
        command = [str(LOAD), "load", "--address", self._node.address, "--work", work, "--warm-up", "0"]
        command += ["--keys", str(options.keys), "--value-bytes", str(options.value_bytes)]
        command += ["--seconds", str(max(seconds, 0.1)), "--seed", str(options.seed)]
        command += ["--fill"] if fill else ["--rate", str(options.rate)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def primary(root: Path) -> Iterator[tuple[NodeProcess, Path]]:
    """With its default settings, and a directory as its store."""
    coordinator = CoordinatorProcess(root / "coordinator", "--shards", "1", log=root / "coordinator.log")
    try:
        objects = root / "objects"
        arguments = ("--objects", objects.as_uri(), "--snapshot-every", "86400")
        node = NodeProcess(coordinator.address, root / "shard-0", *arguments).ready()
        try:
            yield node, objects
        finally:
            node.kill()
    finally:
        coordinator.kill()


def median_interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and the order statistics between which it is with at least 95 %."""
    ordered = sorted(values)
    count = len(ordered)
    outside, below = 0, 0
    while below < count // 2 and 2 * (outside + comb(count, below)) <= 0.05 * 2**count:
        outside += comb(count, below)
        below += 1
    first = max(below - 1, 0)
    return ordered[count // 2], ordered[first], ordered[count - 1 - first]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a window")
    parser.add_argument("--rate", type=float, default=5000.0, help="gets a second, and as many puts")
    parser.add_argument("--keys", type=int, default=500_000)
    parser.add_argument("--value-bytes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    ratios: dict[str, list[float]] = {"foreground": [], "process": []}
    with tempfile.TemporaryDirectory(dir="target") as name, primary(Path(name).absolute()) as (node, objects):
        bench = Bench(node, objects, options)
        bench.fill()
        bench.window(with_backup=False)
        for number in range(options.pairs):
            first = rng.random() < 0.5
            windows = {backup: bench.window(backup) for backup in (first, not first)}
            plain, backed = windows[False], windows[True]
            ratios["foreground"].append(backed.foreground / plain.foreground)
            ratios["process"].append(backed.process / plain.process)
            print(
                f"pair {number + 1}: foreground {plain.foreground:.1f} -> {backed.foreground:.1f} us, "
                f"process {plain.process:.1f} -> {backed.process:.1f} us, "
                f"uploaded {backed.uploaded / _MIB / options.seconds:.0f} MiB/s",
                flush=True,
            )
    told = [f"backup build={_native.BUILD_PROFILE} pairs={options.pairs} rate={2 * options.rate:.0f}/s"]
    for what, values in ratios.items():
        median, low, high = median_interval(values)
        told.append(f"{what}_ratio={median:.3f} interval={low:.3f}..{high:.3f}")
    print(" ".join(told))
    return 0 if median_interval(ratios["foreground"])[0] <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
