"""Slots move to and fro between two shards under writers, while programs are killed or stopped, shards taken
over from the object store or handed over, and moves cancelled:
`python -m tests.evidence.moves --rounds N --seed S`.

After each round every slot has one owner, which answers while the other says Moved; every key has its last
acknowledged write or a later one; nothing that was deleted is back. At the end no store holds a key of a slot
that is another's. What a round did is printed, and that the faults did damage: attempts that were aborted.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
from aidb_node import _native

import aidb
from aidb.interface import Durability
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as storage
from tests.evidence.report import Report, options
from tests.moves.cluster import Cluster, keys_in
from tests.moves.writers import Writers
from tests.node.process import refusal

SLOTS_EACH = 8
KEYS_EACH = 40
HOT_EACH = 3
ENDS_WITHIN = 90.0
FAULTS = (
    "nothing",
    "cancel",
    *(f"{what} {whom}" for what in ("kill", "stop") for whom in ("source", "target", "coordinator")),
    *(f"{what} {whom}" for what in ("lose", "hand-over") for whom in ("source", "target")),
)
# A move takes about a second, so that faults meet all of its steps.
RATE = "400k"
MOST_VALUE = 2500
LONGEST_DELAY = 1.5
LONGEST_STOP = 4.0


@dataclass(frozen=True)
class Asked:
    """A move."""

    id: str
    slots: list[int]
    source: int
    target: int


class Round:
    """One move, or two at once, and a fault."""

    def __init__(self, cluster: Cluster, rng: random.Random, slots: list[int], number: int) -> None:
        self.cluster = cluster
        self.rng = rng
        self.moves: list[Asked] = []
        owners = cluster.owners()
        left = list(slots)
        for part in range(rng.choice((1, 1, 2))):
            source = owners[rng.choice(left)]
            mine = [slot for slot in left if owners[slot] == source]
            chosen = rng.sample(mine, rng.randint(1, len(mine)))
            self.moves.append(Asked(f"move-{number}-{part}", chosen, source, 1 - source))
            left = [slot for slot in left if slot not in chosen]
            if not left:
                break
        self.source, self.target = self.moves[0].source, self.moves[0].target
        self.fault = rng.choice(FAULTS)
        self.delay = rng.uniform(0.0, LONGEST_DELAY)
        self.committed = 0
        self.aborted = 0

    def run(self) -> str:
        """What was done. Raises AssertionError when a move does not end."""
        for asked in self.moves:
            self.cluster.move(asked.slots, asked.source, asked.target, asked.id)
        time.sleep(self.delay)
        self._fault()
        began = time.monotonic()
        ends = []
        for asked in self.moves:
            move = self.cluster.wait_ended(asked.id, ENDS_WITHIN)
            self.committed += move.step == "committed"
            self.aborted += move.attempt - 1
            ends.append(f"{len(asked.slots)} slots {move.step} at attempt {move.attempt}")
        return (
            f"{self.fault} after {self.delay * 1000:.0f} ms: {', '.join(ends)}, "
            f"{time.monotonic() - began:.1f} s later"
        )

    def _fault(self) -> None:
        what, _, whom = self.fault.partition(" ")
        if what == "cancel":
            try:
                self.cluster.coordinator.coordination.CancelMove(
                    pb.CancelMoveRequest(id=self.moves[0].id), timeout=10
                )
            except grpc.RpcError as failed:
                raise AssertionError(f"cancel: {failed}") from failed
        elif what in ("lose", "hand-over"):
            primary = self.source if whom == "source" else self.target
            if what == "lose":
                self.cluster.nodes[primary].kill()
            self.cluster.succeed(primary, planned=what == "hand-over")
        elif what in ("kill", "stop"):
            shard = {"source": self.source, "target": self.target}.get(whom)
            process = self.cluster.coordinator.process
            if shard is not None:
                process = self.cluster.nodes[shard].process
            if what == "stop":
                process.send_signal(signal.SIGSTOP)
                time.sleep(self.rng.uniform(0.2, LONGEST_STOP))
                process.send_signal(signal.SIGCONT)
            elif shard is None:
                self.cluster.coordinator.kill()
                self.cluster.restart_coordinator()
            else:
                self.cluster.nodes[shard].kill()
                self.cluster.restart(shard)


class Scanner:
    """A context manager: scans all keys again and again (M11). Whatever moves, each scan has all of `still`,
    and none of `gone`.
    """

    def __init__(self, address: str, still: dict[bytes, bytes], gone: list[bytes]) -> None:
        self._address = address
        self._still = still
        self._gone = set(gone)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.scans = 0
        self.errors = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with aidb.connect(self._address, timeout=20) as client:
            while not self._stop.wait(0.05):
                try:
                    found = {entry.key: entry.value for entry in client.scan()}
                except aidb.AidbError:
                    self.errors += 1
                    continue
                self.scans += 1
                missing = [key for key, value in self._still.items() if found.get(key) != value]
                back = self._gone & found.keys()
                if missing or back:
                    self.wrong.append(f"a scan lacks {missing[:3]} and shows {sorted(back)[:3]}")


def owners_agree(cluster: Cluster, keys: list[bytes], slots: list[int]) -> Iterator[str]:
    """Each slot is served by its owner, and by nobody else."""
    owners = cluster.owners()
    by_slot = dict(zip(slots, keys, strict=True))
    for slot, key in by_slot.items():
        for shard, node in enumerate(cluster.nodes):
            request = storage.GetRequest(
                header=common.RequestHeader(
                    consistency=common.CONSISTENCY_STRONG,
                    topology_version=cluster.coordinator.topology().version,
                ),
                key=key,
            )
            try:
                node.storage.Get(request, timeout=10)
                answered = True
            except grpc.RpcError as failed:
                answered = False
                why = refusal(_raising(failed))
                if why.code != common.MOVED:
                    yield f"slot {slot}: shard {shard} says {why.code} {why.message}"
            if answered != (owners[slot] == shard):
                yield f"slot {slot} of shard {owners[slot]}: shard {shard} answers: {answered}"


def _raising(error: grpc.RpcError):  # type: ignore[no-untyped-def]
    def call() -> None:
        raise error

    return call


def leftovers(data: Path, owners: list[int], shard: int) -> Iterator[str]:
    """Keys in the store of slots that are another shard's."""
    store = _native.Store(
        str(data / "store"),
        create=False,
        sync="group",
        cache_bytes=1 << 20,
        memtable_bytes=1 << 20,
        compression="none",
    )
    try:
        with store.scan(b"", b"", None, False, True, None) as found:
            for entry in found:
                slot = int.from_bytes(entry.key[:2], "big")
                if owners[slot] != shard:
                    yield f"shard {shard} holds {entry.key!r} of slot {slot}, which is shard {owners[slot]}'s"
    finally:
        store.close()


def main(argv: list[str] | None = None) -> int:
    asked = options("moves", argv)
    rng = random.Random(asked.seed)
    report = Report("moves", asked.seed)
    with tempfile.TemporaryDirectory(prefix="aidb-moves-") as scratch, ExitStack() as stack:
        root = Path(scratch)
        cluster = stack.enter_context(Cluster(root, "--move-rate", RATE))
        client = stack.enter_context(aidb.connect(cluster.address, timeout=30))
        slots = [slot for shard in (0, 1) for slot in rng.sample(cluster.slots_of(shard), SLOTS_EACH)]
        still = {key: rng.randbytes(rng.randrange(MOST_VALUE)) for key in keys_in(slots, KEYS_EACH, "still")}
        client.put_many(still, durability="archived").raise_for_errors()
        gone = rng.sample(sorted(still), len(still) // 10)
        client.delete_many(gone, durability="archived").raise_for_errors()
        for key in gone:
            del still[key]
        probes = keys_in(slots, 1, "probe")
        probes.sort(key=lambda key: slots.index(aidb.slots.slot_of(key)))
        pauses = [0.0]
        for number in range(1, asked.rounds + 1):
            round_ = Round(cluster, rng, slots, number)
            # What a lost disk must not take with it.
            durability: Durability | None = "archived" if round_.fault.startswith("lose") else None
            hot = keys_in(slots, HOT_EACH, f"hot{number}-")
            with (
                Writers(cluster.address, hot, durability=durability) as writers,
                Scanner(cluster.address, still, gone) as scanner,
            ):
                did = round_.run()
            found = [*writers.problems(client), *scanner.wrong]
            found += [f"{key!r} is lost" for key, value in still.items() if client.get(key) != value]
            found += [f"{key!r} is back" for key in gone if client.get(key) is not None]
            found += owners_agree(cluster, probes, slots)
            wrote = f"{writers.count} writes, {len(writers.errors)} errors, slowest {writers.longest:.2f} s"
            report.round(f"{did}, {wrote}", found)
            report.numbers["committed"] += round_.committed
            report.numbers["aborted_attempts"] += round_.aborted
            report.numbers["client_errors"] += len(writers.errors)
            report.numbers["writes"] += writers.count
            if round_.fault == "nothing":
                pauses.append(writers.longest)
            report.numbers["scans"] += scanner.scans
            report.numbers["failed_scans"] += scanner.errors
            report.numbers[round_.fault.replace(" ", "_").replace("-", "_")] += 1
        owners = cluster.owners()
        # Whoever begins anew looks for slots of others at once.
        for shard in (0, 1):
            cluster.nodes[shard].stop()
            cluster.restart(shard)
        cluster.wait_healthy()
        time.sleep(2.0)
        for node in cluster.nodes:
            node.stop()
        left = [one for shard in (0, 1) for one in leftovers(cluster.data(shard), owners, shard)]
        report.violations += len(left)
        for one in left[:10]:
            print(f"  VIOLATION {one}", flush=True)
    # Of rounds without a fault: the slowest write, retries included.
    print(report.last_line(leftovers=len(left), longest_pause_ms=round(max(pauses) * 1000)))
    return report.exit_code(asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
