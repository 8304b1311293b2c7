"""How long plans for many shards take, and how large the topology is after them.

    python -m benchmarks.placement [--shards 1000] [--seed 1] [--page docs/architecture/scaling.md]

CPU seconds of one core. The documents: every shard with a primary, two replicas and four cuts, every slot
that ever moved with the epoch and LSN of its last move; as protobuf (what clients and nodes get), as JSON,
and as a coordinator stores it (`aidb.topology_file`), with the CPU seconds that this takes.
"""

from __future__ import annotations

import argparse
import platform
import random
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aidb_coordinator import codec, rebalance
from aidb_coordinator.topology import (
    Cut,
    Member,
    Role,
    Shard,
    SlotEpoch,
    SlotSpan,
    Topology,
    pack_owners,
)

from aidb import topology_file
from aidb.slots import SLOT_COUNT

_BEGIN, _END = "<!-- bench-placement: begin -->", "<!-- bench-placement: end -->"
_HEADINGS = (
    "plan",
    "CPU s",
    "slots moved",
    "fewest",
    "moves",
    "most off even",
    "ranges after",
    "protobuf",
    "JSON",
    "stored",
    "to store",
)


@dataclass
class Cluster:
    """The table and when each slot moved, through one plan after another. `seconds` of the newest plan."""

    owners: list[int]
    moved: list[int] = field(default_factory=lambda: [0] * SLOT_COUNT)
    plans: int = 0
    seconds: float = 0.0

    def reshape(self, shards: Collection[int]) -> rebalance.Plan:
        topology = Topology("", pack_owners(self.owners), tuple(map(Shard, sorted({*self.owners, *shards}))))
        begin = time.process_time()
        plan = rebalance.moves(topology, shards)
        self.seconds = time.process_time() - begin
        for move in plan.moves:
            self.plans += 1
            for span in move.slots:
                for slot in range(span.first, span.last + 1):
                    self.owners[slot] = move.target
                    self.moved[slot] = self.plans
        return plan

    def document(self) -> Topology:
        return Topology(
            cluster_uid="9d0f6a58-66a1-4a39-9f65-b6a0c3a1a1a1",
            slot_owners=pack_owners(self.owners),
            shards=tuple(_shard(shard) for shard in sorted(set(self.owners))),
            slot_epochs=tuple(
                SlotEpoch(SlotSpan(first, last), 3, (self.moved[first] << 32) + 4_711)
                for first, last in _spans(list(zip(self.owners, self.moved, strict=True)))
                if self.moved[first]
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shards", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="keep the table there")
    options = parser.parse_args()
    rows = list(_rows(options.shards, random.Random(options.seed)))
    lines = [
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {platform.machine()}, seed {options.seed}; "
        "CPU seconds of one core.",
        "",
        _row(_HEADINGS),
        "|" + "---|" * len(_HEADINGS),
        *map(_row, rows),
    ]
    print("\n".join(lines))
    if options.page:
        text = options.page.read_text()
        before, after = text.partition(_BEGIN)[0], text.partition(_END)[2]
        options.page.write_text("\n".join([before + _BEGIN, *lines, _END]) + after)


def _rows(count: int, chance: random.Random) -> Iterator[tuple[str, ...]]:
    few = max(1, count // 10)
    cluster = Cluster([0] * SLOT_COUNT)
    yield _measured(f"1 -> {count} at once", cluster, set(range(count)))
    yield _measured(f"{count} -> {count + 1}", cluster, set(range(count + 1)))
    yield _measured(f"{count + 1} -> {count + few}", cluster, set(range(count + few)))
    gone = set(chance.sample(range(count + few), few))
    yield _measured(f"{few} at random leave", cluster, set(range(count + few)) - gone)
    cluster = Cluster([0] * SLOT_COUNT)
    for shards in range(2, count):
        cluster.reshape(range(shards))
    yield _measured(f"the last of 1 -> {count}, one by one", cluster, set(range(count)))
    cluster = Cluster([0] * SLOT_COUNT)
    live, newest = {0}, 0
    while len(live) < count:
        newest += 8
        live |= set(range(newest - 7, newest + 1))
        live -= set(chance.sample(sorted(live), min(3, len(live) - 1)))
        cluster.reshape(live)
    yield _measured("the same in steps of 8 more, 3 fewer", cluster, live | {newest + 1})


def _measured(name: str, cluster: Cluster, shards: set[int]) -> tuple[str, ...]:
    fewest = _fewest(cluster.owners, shards)
    plan = cluster.reshape(shards)
    mean = SLOT_COUNT / len(shards)
    off = max(abs(slots - mean) for slots in plan.after.values() if slots) / mean
    document = cluster.document()
    begin = time.process_time()
    stored = topology_file.seal(codec.to_proto(document), 1)
    seconds = time.process_time() - begin
    return (
        name,
        f"{cluster.seconds:.2f}",
        f"{plan.slot_count:,}",
        f"{fewest:,}",
        f"{len(plan.moves):,}",
        f"{off:.1%}",
        f"{sum(1 for _ in _spans(cluster.owners)):,}",
        f"{codec.to_proto(document).ByteSize() / 1e6:.2f} MB",
        f"{len(topology_file.canonical(codec.to_json(document))) / 1e6:.2f} MB",
        f"{len(stored) / 1e6:.2f} MB",
        f"{seconds:.2f} s",
    )


def _fewest(owners: list[int], shards: Collection[int]) -> int:
    """Slots that cannot stay when every shard has as many as every other, within one."""
    floor, extra = divmod(SLOT_COUNT, len(shards))
    sizes = sorted((owners.count(shard) for shard in shards), reverse=True)
    return SLOT_COUNT - sum(min(size, floor + (rank < extra)) for rank, size in enumerate(sizes))


def _spans(values: Sequence[object]) -> Iterator[tuple[int, int]]:
    """First and last slot of each run of equal values."""
    first = 0
    for slot in range(1, len(values) + 1):
        if slot == len(values) or values[slot] != values[first]:
            yield first, slot - 1
            first = slot


def _shard(shard: int) -> Shard:
    def member(name: str, role: Role) -> Member:
        address = f"10.{shard >> 8}.{shard & 255}.{int(role)}:7000"
        zone, node = f"region-1{'abc'[shard % 3]}", f"node-{shard:04}-{int(role)}"
        return Member(name, address, role, shard, zone, node, metrics_address=address)

    return Shard(
        id=shard,
        epoch=4,
        disk_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(shard))),
        primary=member(f"shard-{shard}-primary", Role.PRIMARY),
        replicas=tuple(member(f"shard-{shard}-replica-{number}", Role.REPLICA) for number in range(2)),
        cuts=tuple(Cut(epoch, (epoch << 32) + 815) for epoch in range(1, 5)),
    )


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
