"""`make evidence-increment ROUNDS=5`: a second snapshot uploads only tables that were made since.

Each round fills a primary, a process of its own, over all slots, snapshots it, writes a fiftieth of that
again to one slot, and snapshots it once more. More than a tenth of the first one's bytes for the second is a
violation; so is a number of bytes, as the primary counts them, that is not what the store has more.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.durability.verification import verify
from aidb.objects.file import FileStore
from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess
from tests.evidence.report import Report, options
from tests.node.process import NodeProcess

UID = "increment"
KEYS, VALUE_BYTES, BATCH = 40_000, 1000, 500
MOST = 0.1
_WAIT_SECONDS = 120.0
_SETTINGS = ("--snapshot-every", "86400", "--upload-rate", "0", "--memtable-bytes", "4m")


def one_round(root: Path, seed: int, keys: int, report: Report) -> None:
    rng = random.Random(seed)
    objects = FileStore(root / "objects")
    coordinator = CoordinatorProcess(root / "coordinator", "--shards", "1", "--cluster-uid", UID, *FAST)
    try:
        node = NodeProcess(
            coordinator.address, root / "shard-0", "--objects", objects.url, *_SETTINGS
        ).ready()
        try:
            # The first one, of an empty shard, is made by itself.
            _wait(node, lambda stats: stats.durability.snapshots_ended > 0)
            fill(node, rng, [b"key-%09d" % number for number in range(keys)])
            first = snapshot(node, objects)
            fill(node, rng, [b"{one slot}-%09d" % number for number in range(keys // 50)])
            second = snapshot(node, objects)
        finally:
            node.kill()
    finally:
        coordinator.kill()
    wrong = [
        f"{problem.object}: {problem.what}" for problem in verify(Catalog(objects, Names(UID, 0))).problems
    ]
    for name, (counted, more) in (("first", first), ("second", second)):
        if counted != more:
            wrong.append(
                f"the {name} snapshot says that it uploaded {counted} bytes, the store has {more} more"
            )
    if second[0] > first[0] * MOST:
        wrong.append(f"the second snapshot uploaded {second[0] / first[0]:.1%} of the first")
    report.numbers["first_bytes"] += first[0]
    report.numbers["second_bytes"] += second[0]
    report.round(f"first={first[0]} second={second[0]} part={second[0] / first[0]:.4f}", wrong)


def fill(node: NodeProcess, rng: random.Random, keys: list[bytes]) -> None:
    """Returns when nothing is compacted any more."""
    for begin in range(0, len(keys), BATCH):
        ops = [pb.WriteOp(key=key, value=rng.randbytes(VALUE_BYTES)) for key in keys[begin : begin + BATCH]]
        answer = node.storage.BatchPut(pb.BatchPutRequest(ops=ops), timeout=30)
        assert not any(result.HasField("error") for result in answer.results)
    node.node.Flush(node_pb2.FlushRequest(), timeout=30)
    before = -1
    while (done := _stats(node).engine.compacted_bytes) != before:
        before = done
        time.sleep(0.5)


def snapshot(node: NodeProcess, objects: FileStore) -> tuple[int, int]:
    """Bytes that it uploaded, and bytes of tables that the store has more than before."""
    before = _table_bytes(objects)
    ended = node.node.Backup(node_pb2.BackupRequest(), timeout=10).snapshots_ended
    stats = _wait(node, lambda now: now.durability.snapshots_ended > ended)
    assert not stats.durability.snapshot_error, stats.durability.snapshot_error
    return stats.durability.snapshot_uploaded, _table_bytes(objects) - before


def _table_bytes(objects: FileStore) -> int:
    return sum(stat.size for stat in Catalog(objects, Names(UID, 0)).tables())


def _stats(node: NodeProcess) -> pb.GetStatsResponse:
    found: pb.GetStatsResponse = node.storage.GetStats(pb.GetStatsRequest(), timeout=10)
    return found


def _wait(node: NodeProcess, holds: Callable[[pb.GetStatsResponse], bool]) -> pb.GetStatsResponse:
    ends = time.monotonic() + _WAIT_SECONDS
    while not holds(stats := _stats(node)):
        if time.monotonic() > ends:
            raise RuntimeError(f"nothing came in {_WAIT_SECONDS} s: {stats.durability}")
        time.sleep(0.05)
    return stats


def run(rounds: int, seed: int, report: Report, keys: int = KEYS) -> None:
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="aidb-increment-") as directory:
            one_round(Path(directory), seed + number, keys, report)


def main() -> int:
    asked = options("increment")
    report = Report("increment", asked.seed)
    run(asked.rounds, asked.seed, report)
    print(report.last_line())
    return report.exit_code(asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
