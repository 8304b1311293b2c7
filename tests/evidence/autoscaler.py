"""`make evidence-autoscaler ROUNDS=1`: load makes it add a replica and a shard, idleness removes them.

A local cluster as `aidb up` runs it begins with one shard and one replica, mode `on`, with short windows and
low thresholds, set as a user would. Each round: workers, processes of their own, read and write as fast as
they can until there are two shards and two replicas of a shard; then they stop, and nothing is asked until
one shard with one replica is left. A violation is: a number outside of its limits, seen at any time; more
than one turn from up to down of any number; a request of a worker that failed; an acknowledged write that is
not there at the end, or an older one in its place; a number that does not come.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import grpc

import aidb
from aidb.local.cluster import LocalCluster
from aidb.local.description import Wish
from aidb.v1 import cluster_pb2 as pb
from aidb.v1.cluster_pb2_grpc import CoordinationStub
from tests.evidence.report import Report, options
from tests.evidence.status import status, wait_whole

WORKERS = 3
KEYS, VALUE = 400, 8_000
WRITTEN = 50
MOST = 2
UP_SECONDS, DOWN_SECONDS = 300.0, 420.0
SETTINGS = {
    "interval": "4",
    "replicas.limits.most": str(MOST),
    "replicas.limits.window": "20",
    "replicas.limits.up_cooldown": "6",
    "replicas.limits.down_cooldown": "6",
    # Of two cores: about one to three percent of one.
    "replicas.cpu": "0.006:0.01:0.015",
    "replicas.read_ms": "none",
    "replicas.hit_ratio": "none",
    "shards.limits.most": str(MOST),
    "shards.limits.window": "30",
    "shards.limits.up_window": "4",
    "shards.limits.up_cooldown": "10",
    "shards.limits.down_cooldown": "10",
    "shards.cpu": "none",
    "shards.bytes": "none",
    "shards.writes": "50:200:400",
}


def work(address: str, number: int) -> None:
    """Until stdin ends; then what was acknowledged last of each key, as JSON."""
    name = f"worker-{number}"
    keys = [b"%s:%d" % (name.encode(), index) for index in range(KEYS)]
    written = dict.fromkeys(range(KEYS), 0)
    failures: list[str] = []
    done = 0
    with aidb.connect(address, timeout=30) as client:
        client.put_many([(key, _value(0)) for key in keys]).raise_for_errors()
        while not _ended():
            done += 1
            begin = done * WRITTEN % KEYS
            try:
                client.put_many(
                    [(keys[index], _value(done)) for index in range(begin, begin + WRITTEN)]
                ).raise_for_errors()
                written.update(dict.fromkeys(range(begin, begin + WRITTEN), done))
                if any(None in client.get_many(keys[begin : begin + 200]) for _ in range(3)):
                    failures.append("a key was not found")
            except aidb.AidbError as error:
                failures.append(str(error))
    print(json.dumps({"written": written, "rounds": done, "failures": failures[:20]}))


def _ended() -> bool:
    import select

    return bool(select.select([sys.stdin], [], [], 0)[0])


def _value(number: int) -> bytes:
    return b"%012d" % number + b"x" * VALUE


@contextmanager
def workers(address: str, results: list[dict[str, object]]) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.evidence.autoscaler", "--work", address]
    processes = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(WORKERS)
    ]
    try:
        yield
        for process in processes:
            out, _ = process.communicate(timeout=120)
            results.append(json.loads(out) if process.returncode == 0 else {"failures": ["a worker died"]})
    finally:
        for process in processes:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Watch:
    """Looks at the cluster until it has a shape, and notes what no time may show."""

    address: str
    violations: list[str] = field(default_factory=list)
    shape: tuple[int, list[int]] = (0, [])

    def wait(self, shards: int, replicas: int, seconds: float) -> float:
        """Until there are so many shards and the largest number of replicas is this; how long that took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            answer = status(self.address)
            if answer is not None:
                self._look(answer)
                if self.shape[0] == shards and max(self.shape[1], default=0) == replicas:
                    return time.monotonic() - began
            time.sleep(0.3)
        self.violations.append(
            f"not {shards} shards with up to {replicas} replicas after {seconds:.0f} s, but {self.shape}: "
            f"{_explained(self.address)}"
        )
        return seconds

    def _look(self, answer: pb.ClusterStatus) -> None:
        counts = [sum(one.state != pb.MEMBER_LEFT for one in shard.replicas) for shard in answer.shards]
        self.shape = (len(answer.shards), counts)
        if not 1 <= len(counts) <= MOST or any(count > MOST for count in counts):
            self.violations.append(f"outside of the limits: {self.shape}")


def _explained(address: str) -> str:
    answer = _scaling(address)
    return f"next {answer.next!r}, held {answer.held!r}, shards {list(answer.shards.reasons)}"


def _scaling(address: str, settings: dict[str, str] | None = None) -> pb.GetScalingResponse:
    with grpc.insecure_channel(address) as channel:
        stub = CoordinationStub(channel)
        if settings is None:
            answer: pb.GetScalingResponse = stub.GetScaling(pb.GetScalingRequest(), timeout=10)
        else:
            answer = stub.SetScaling(pb.SetScalingRequest(mode="on", set=settings), timeout=10)
    return answer


def one_round(address: str, report: Report) -> None:
    watch, results = Watch(address), list[dict[str, object]]()
    before, began = len(_scaling(address).steps), time.time()
    with workers(address, results):
        up = watch.wait(MOST, MOST, UP_SECONDS)
    down = watch.wait(1, 1, DOWN_SECONDS)
    steps = _scaling(address).steps[before:]
    for step in steps:
        print(f"  {step.at_ms / 1000 - began:6.1f} s {step.what}: {'; '.join(step.reasons)}", flush=True)
    watch.violations += _turns([step.what for step in steps])
    watch.violations += _lost(address, results)
    rounds = sum(int(str(one.get("rounds", 0))) for one in results)
    report.numbers["steps"] += len(steps)
    report.numbers["written"] += rounds * WRITTEN
    report.round(f"up={up:.0f}s down={down:.0f}s steps={len(steps)} batches={rounds}", watch.violations)


def _turns(steps: list[str]) -> list[str]:
    """Of shards, and of replicas: what came may go, once."""
    found = []
    for noun in ("shard", "replica"):
        ways = [what.split()[0] for what in steps if _noun(what) == noun]
        turns = sum(one != other for one, other in pairwise(ways))
        if turns > 1:
            found.append(f"{noun}s turned {turns} times: {ways}")
    return found


def _noun(what: str) -> str:
    return "replica" if "replica" in what else "shard"


def _lost(address: str, results: list[dict[str, object]]) -> list[str]:
    found = [str(failure) for one in results for failure in one["failures"]]  # type: ignore[attr-defined]
    with aidb.connect(address, timeout=30) as client:
        for number, one in enumerate(results):
            written: dict[str, int] = one.get("written", {})  # type: ignore[assignment]
            keys = [b"worker-%d:%d" % (number, int(index)) for index in written]
            for key, value, least in zip(keys, client.get_many(keys), written.values(), strict=True):
                if value is None or int(value[:12]) < least:
                    found.append(f"{key!r} is {value and value[:12]!r}, {least} was acknowledged")
    return found


def run(rounds: int, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="aidb-autoscaler-") as root:
        cluster = LocalCluster.prepare(Path(root) / "data", Wish(shards=1, replicas=1, port=0))
        try:
            cluster.start(owned=False)
            problem = wait_whole(cluster.address, 1, 90)
            if problem:
                raise RuntimeError(f"the cluster does not start: {problem}")
            _scaling(cluster.address, SETTINGS)
            for _ in range(rounds):
                one_round(cluster.address, report)
        finally:
            cluster.stop()


def main() -> int:
    if "--work" in sys.argv:
        work(sys.argv[-2], int(sys.argv[-1]))
        return 0
    asked = options("autoscaler")
    report = Report("autoscaler", asked.seed)
    run(asked.rounds, report)
    print(report.last_line())
    return report.exit_code(asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
