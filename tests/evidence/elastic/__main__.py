"""Readers and writers at half of what the cluster can do, in an open loop, while it goes from 1 to 3, 10, 3
and 1 shards: `python -m tests.evidence.elastic --rounds N --seed S`. A round is all of that.

Every acknowledged write is present and newest, nothing is revived, every scan is complete, no error reaches a
caller, and 95 % of the operations are answered within a second of when they were due. How long keys pause
while their slots move is printed.

One machine has all the programs and the clients, and more programs do not make it faster: what these clients
get out of a cluster of each size in a closed loop is measured first. While it goes from one size to the next,
the open loop asks for half of what the weaker of the two can do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import aidb
from aidb.local.cluster import LocalCluster
from aidb.local.description import Wish
from tests.evidence.elastic import load, pauses
from tests.evidence.elastic.shape import reshape
from tests.evidence.lanes import lanes
from tests.evidence.moves_watch import Scanner
from tests.evidence.report import Report
from tests.evidence.status import wait_whole

STEPS = (3, 10, 3, 1)
REPLICAS = 0
LANES = 2
KEYS_EACH = 2_000
VALUE_BYTES = 200
STILL = 3_000
# Seconds between two scans. One takes a core for a moment: back to back they were a third of all load.
SCAN_EVERY = 1.0
CLOSED_SECONDS = 5.0
SETTLE = 2.0
STEP_SECONDS = 600.0
WHOLE_SECONDS = 90.0
ENOUGH = 0.95


@dataclass(frozen=True)
class Size:
    """Of a run. ``closed``: seconds of a loop that finds the capacity; ``share`` of that is asked for."""

    steps: Sequence[int] = STEPS
    replicas: int = REPLICAS
    lanes: int = LANES
    keys_each: int = KEYS_EACH
    still: int = STILL
    closed: float = CLOSED_SECONDS
    share: float = 0.5
    settle: float = SETTLE
    enough: float = ENOUGH


@dataclass(frozen=True)
class Phase:
    """``did`` from ``begin`` to ``end``, in seconds of the monotonic clock."""

    did: str
    begin: float
    end: float


def run(rounds: int, seed: int, report: Report, size: Size) -> list[pauses.Pause]:
    with cluster(size) as local:
        found: list[pauses.Pause] = []
        for number in range(rounds):
            found += _round(local.address, seed + number, report, size)
        return found


def _round(address: str, seed: int, report: Report, size: Size) -> list[pauses.Pause]:
    rng = random.Random(seed)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    rate = context.Value("d", 0.0)
    sizes = sorted({1, *size.steps})
    parts = [
        (
            load.Plan(
                address=address,
                name=f"s{seed}-{lane}",
                seed=rng.getrandbits(32),
                keys=size.keys_each,
                size=VALUE_BYTES,
                closed=size.closed,
                loops=len(sizes),
            ),
            load.Signals(context.Semaphore(0), rate, stop),
        )
        for lane in range(size.lanes)
    ]
    still, gone = _still(address, rng, size.still)
    with ExitStack() as stack:
        clients = stack.enter_context(lanes(load.run, parts, context))
        turns = [signals.turn for _, signals in parts]
        capacity = {}
        for shards in sizes:
            if shards > 1:
                reshape(address, shards, rng, STEP_SECONDS)
            capacity[shards] = _capacity(turns, clients)
        if sizes[-1] > 1:
            reshape(address, 1, rng, STEP_SECONDS)
        prober = stack.enter_context(lanes(pauses.run, [(address, rng.getrandbits(32), stop)], context))
        scanner = stack.enter_context(Scanner(address, still, gone, SCAN_EVERY))
        phases: list[Phase] = []
        before = 1
        for shards in size.steps:
            asked = min(capacity[before], capacity[shards]) * size.share
            rate.value = asked / size.lanes
            if not phases:
                for turn in turns:
                    turn.release()
            begin = time.monotonic()
            moved = reshape(address, shards, rng, STEP_SECONDS)["slots_done"]
            # Clients that learned of the last moves late show here.
            time.sleep(size.settle)
            phases.append(Phase(f"{before} -> {shards} shards, {moved} slots moved", begin, time.monotonic()))
            before = shards
        stop.set()
        told = list(clients)
        probed: pauses.Found = next(prober)
    wrong = [problem for one in (*told, probed.told) for problem in one.wrong]
    wrong += [f"an error: {error}" for one in (*told, probed.told) for error in one.errors]
    wrong += scanner.wrong
    _print(phases, told)
    good = _good([took for one in told for took in one.took])
    if good < size.enough:
        wrong.append(f"goodput {good:.1%}")
    operations = sum(len(one.due) for one in told)
    most = ", ".join(f"{shards}: {found:.0f}" for shards, found in capacity.items())
    report.round(f"ops/s at most, by shards: {most}; {operations} operations, {good:.2%} good", wrong)
    report.numbers.update(
        operations=operations,
        acknowledged=sum(one.acknowledged for one in (*told, probed.told)),
        errors=sum(one.error_count for one in (*told, probed.told)),
        scans=scanner.scans,
        failed_scans=scanner.errors,
        probed_moves=len(probed.pauses),
    )
    return probed.pauses


def _capacity(turns: Sequence[Semaphore], clients: Iterator[Any]) -> float:
    """Operations a second of all clients together, in a closed loop."""
    for turn in turns:
        turn.release()
    return float(sum(next(clients) for _ in turns))


def _still(address: str, rng: random.Random, count: int) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Keys that nobody writes while slots move, and keys that were deleted before."""
    with aidb.connect(address, timeout=60) as client:
        still = {b"still-%d" % number: rng.randbytes(rng.randrange(400)) for number in range(count)}
        client.put_many(still).raise_for_errors()
        gone = rng.sample(sorted(still), count // 10)
        client.delete_many(gone).raise_for_errors()
    for key in gone:
        del still[key]
    return still, gone


def _print(phases: Sequence[Phase], told: Sequence[load.Told]) -> None:
    both = [pair for one in told for pair in zip(one.due, one.took, strict=True)]
    for phase in phases:
        took = sorted(took for due, took in both if phase.begin <= due < phase.end)
        rate = len(took) / (phase.end - phase.begin)
        latencies = ", ".join(f"{name} {_at(took, part) * 1000:.1f} ms" for name, part in PARTS)
        print(
            f"  {phase.did}: {phase.end - phase.begin:.1f} s, {rate:.0f} ops/s asked for, "
            f"{_good(took):.2%} good; {latencies}",
            flush=True,
        )


PARTS = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("slowest", 1.0))


def _good(took: Sequence[float]) -> float:
    return sum(1 for one in took if 0 <= one <= load.GOOD) / max(1, len(took))


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@contextmanager
def cluster(size: Size) -> Iterator[LocalCluster]:
    """As `aidb up` makes it."""
    with ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="aidb-elastic-"))
        local = LocalCluster.prepare(Path(root) / "data", Wish(1, size.replicas, port=0))
        stack.callback(local.stop)
        local.start(owned=False)
        problem = wait_whole(local.address, size.replicas, WHOLE_SECONDS)
        if problem:
            raise RuntimeError(f"the cluster does not start: {problem}")
        yield local


def did_something(numbers: Counter[str]) -> bool:
    """Otherwise it proves nothing."""
    return all(numbers[name] > 0 for name in ("operations", "acknowledged", "scans", "probed_moves"))


def _options() -> argparse.Namespace:
    # A run that is told to end puts away what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.elastic")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=_steps, default=STEPS, help="numbers of shards, after the first one")
    parser.add_argument("--replicas", type=int, default=REPLICAS, help="of each shard")
    parser.add_argument("--lanes", type=int, default=LANES, help="processes of clients")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity that is asked for")
    return parser.parse_args()


def _steps(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def main() -> int:
    asked = _options()
    report = Report("elastic", asked.seed)
    size = Size(steps=asked.steps, replicas=asked.replicas, lanes=asked.lanes, share=asked.share)
    found = run(asked.rounds, asked.seed, report, size)
    beyond = sorted(pause.beyond for pause in found)
    figures = {f"pause_{name}_ms": round(_at(beyond, part) * 1000) for name, part in PARTS}
    print(report.last_line(**figures))
    return report.exit_code(asked.rounds, did_something(report.numbers))


if __name__ == "__main__":
    sys.exit(main())
