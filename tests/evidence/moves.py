"""Slots move to and fro between two shards under writers, while everything around breaks:
`python -m tests.evidence.moves --rounds N --seed S`.

Each round is a move, or two at once, and a fault, or two one after the other (`moves_faults`). Watched all
the time: no shard answers with less than what was acknowledged, none answers once the other one has, every
scan has all keys. After each round every slot has one owner, which answers while the other says Moved; every
key has its last acknowledged write or a later one; nothing that was deleted is back. At the end no store
holds anything of a slot that is another's. What a round did is printed, and that the faults did damage.

The same is done with defects put into the nodes (`moves_mutants`), which have to be found; `--part` leaves
that out.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from aidb_node import _native

import aidb
from aidb.client import Client
from aidb.interface import Durability
from tests.evidence import moves_faults, moves_mutants
from tests.evidence.moves_cluster import FaultyCluster
from tests.evidence.moves_faults import Fault, Scene
from tests.evidence.moves_flood import Flood
from tests.evidence.moves_watch import Observer, OnceWriter, Scanner, owners_agree
from tests.evidence.report import Report, parser
from tests.moves.cluster import keys_in
from tests.moves.writers import Writers

SLOTS_EACH = 8
KEYS_EACH = 40
HOT_EACH = 3
FLOODED_EACH = 24
FLOODED_SLOTS = 4
FULL_WITHIN = 8.0
ENDS_WITHIN = 90.0
FLOODED_ENDS_WITHIN = 240.0
CLEAN_WITHIN = 30.0
# Of rounds, that give the moving slots more than a move may carry.
FLOODS = 0.06
# A move takes about a second, so that faults meet all of its steps.
RATE = "400k"
RATE_BYTES = 400 << 10
MOST_VALUE = 2500
# Short runs prove that little.
LONG = 60


@dataclass(frozen=True)
class Asked:
    """A move."""

    id: str
    slots: list[int]
    source: int
    target: int


class Round:
    """One move, or two at once, and what happens to them."""

    def __init__(
        self,
        cluster: FaultyCluster,
        rng: random.Random,
        slots: list[int],
        number: int,
        numbers: Counter[str],
    ) -> None:
        self.cluster = cluster
        self.rng = rng
        self.numbers = numbers
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
        first = self.moves[0]
        self.scene = Scene(cluster, rng, numbers, first.id, first.source, first.target)
        self.flooded = rng.random() < FLOODS
        self.faults: list[Fault] = moves_faults.draw(rng, self.flooded)

    @property
    def fills_disk(self) -> bool:
        return any(fault.name.startswith("fill-disk") for fault in self.faults)

    @property
    def durability(self) -> Durability | None:
        """Of what is written: what a lost disk must not take with it."""
        return "archived" if any(fault.name.startswith("lose") for fault in self.faults) else None

    def run(self) -> str:
        """What was done. Raises AssertionError when a move does not end."""
        for asked in self.moves:
            self.cluster.move(asked.slots, asked.source, asked.target, asked.id)
        did = [moves_faults.carry_out(fault, self.scene) for fault in self.faults]
        began = time.monotonic()
        ends = []
        for asked in self.moves:
            move = self.cluster.wait_ended(asked.id, FLOODED_ENDS_WITHIN if self.flooded else ENDS_WITHIN)
            self.numbers[move.step] += 1
            self.numbers["aborted_attempts"] += move.attempt - 1
            ends.append(f"{len(asked.slots)} slots {move.step} at attempt {move.attempt}")
        return f"{'; '.join(filter(None, did))}: {', '.join(ends)}, {time.monotonic() - began:.1f} s later"


class Keys:
    """What stays as it is while slots move, and what was deleted before."""

    def __init__(self, client: Client, rng: random.Random, slots: list[int]) -> None:
        self.still = {
            key: rng.randbytes(rng.randrange(MOST_VALUE)) for key in keys_in(slots, KEYS_EACH, "still")
        }
        client.put_many(self.still, durability="archived").raise_for_errors()
        self.gone = rng.sample(sorted(self.still), len(self.still) // 10)
        client.delete_many(self.gone, durability="archived").raise_for_errors()
        for key in self.gone:
            del self.still[key]

    def problems(self, client: Client) -> Iterator[str]:
        for key, value in self.still.items():
            if client.get(key) != value:
                yield f"{key!r} is lost"
        for key in self.gone:
            if client.get(key) is not None:
                yield f"{key!r} is back"


def _fill_first(cluster: FaultyCluster, round_: Round, presses: Flood) -> None:
    """The move begins with a target that can log nothing more."""
    disk = cluster.disks[round_.scene.target]
    ends = time.monotonic() + FULL_WITHIN
    while not presses.errors and time.monotonic() < ends:
        disk.fill()
        time.sleep(0.05)
    round_.numbers["full_before"] += bool(presses.errors)


def _ran(round_: Round) -> tuple[str, list[str]]:
    try:
        return round_.run(), []
    except AssertionError as error:  # a move that does not end
        return "", [str(error)]


def one_round(
    cluster: FaultyCluster, client: Client, round_: Round, keys: Keys, slots: list[int], number: int
) -> tuple[str, list[str]]:
    """What was done, and what is wrong."""
    numbers = round_.numbers
    hot = keys_in(slots, HOT_EACH, f"hot{number}-")
    with ExitStack() as stack:
        writers = stack.enter_context(Writers(cluster.address, hot, durability=round_.durability))
        tags = [key.rpartition(b":")[0] for key in keys_in(slots, 1, f"once{number}-")]
        once = stack.enter_context(OnceWriter(cluster.address, tags, round_.durability))
        scanner = stack.enter_context(Scanner(cluster.address, keys.still, keys.gone))
        observer = stack.enter_context(Observer(cluster, writers, hot, random.Random(round_.rng.random())))
        flood = None
        if round_.fills_disk:
            # What the target logs besides is more than it has room for.
            others = [slot for slot, owner in enumerate(cluster.owners()) if owner == round_.scene.target]
            more = keys_in(round_.rng.sample(others, FLOODED_SLOTS), FLOODED_EACH, f"fill{number}-")
            presses = stack.enter_context(Flood(cluster.address, more))
            if round_.rng.random() < 0.5:
                _fill_first(cluster, round_, presses)
        if round_.flooded:
            moving = [slot for asked in round_.moves for slot in asked.slots]
            flood = Flood(cluster.address, keys_in(moving, FLOODED_EACH, f"flood{number}-"))
            stack.enter_context(flood)
        did, found = _ran(round_)
        cluster.disks[round_.scene.target].free()
    found += [*writers.problems(client), *scanner.wrong, *observer.problems(), *keys.problems(client)]
    found += once.problems(client)
    numbers["written_once"] += len(once.acknowledged)
    if flood is not None:
        found += flood.problems(client)
        numbers["floods"] += 1
        numbers["floods_beyond_rate"] += flood.fastest > RATE_BYTES
        numbers["flood_mb"] += flood.bytes >> 20
        did += f", flooded with up to {flood.fastest >> 10} KiB/s"
    probes = keys_in(slots, 1, "probe")
    probes.sort(key=lambda key: slots.index(aidb.slots.slot_of(key)))
    found += owners_agree(cluster, probes, slots)
    numbers["writes"] += writers.count
    numbers["client_errors"] += len(writers.errors)
    numbers["refused_by_full_disk"] += sum(isinstance(error, aidb.DiskFull) for error in writers.errors)
    numbers["scans"] += scanner.scans
    numbers["failed_scans"] += scanner.errors
    numbers["observed_reads"] += len(observer.served)
    numbers["observed_refusals"] += observer.refused
    if not round_.flooded and [fault.name for fault in round_.faults] == ["nothing"]:
        numbers["longest_pause_ms"] = max(numbers["longest_pause_ms"], round(writers.longest * 1000))
    wrote = f"{writers.count} writes, {len(writers.errors)} errors, slowest {writers.longest:.2f} s"
    return f"{did}, {wrote}", found


def leftovers(data: Path, owners: list[int], shard: int) -> Iterator[str]:
    """What a store still has of slots that are another shard's: keys, and bytes in its tables."""
    store = _native.Store(
        str(data / "store"),
        create=False,
        sync="group",
        cache_bytes=1 << 20,
        memtable_bytes=1 << 20,
        compression="none",
    )

    def foreign(key: bytes) -> bool:
        return owners[int.from_bytes(key[:2], "big")] != shard

    try:
        with store.scan(b"", b"", None, False, True, None) as found:
            yield from (f"shard {shard} holds {entry.key!r}" for entry in found if foreign(entry.key))
        store.compact()
    finally:
        store.close()
    for table in sorted((data / "store").rglob("*.sst")):
        kept: list[bytes] = []
        _native.dump_sst(table, lambda entry, kept=kept: kept.append(bytes(entry["key"])))  # type: ignore[misc]
        yield from (f"{table.name} of shard {shard} has bytes of {key!r}" for key in kept if foreign(key))


def run(
    rounds: int,
    seed: int,
    report: Report,
    *,
    environment: Mapping[str, str] | None = None,
    until_found: bool = False,
) -> None:
    """`until_found`: no further rounds once something is wrong."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="aidb-moves-") as scratch, ExitStack() as stack:
        options = ("--move-rate", RATE, "--memtable-bytes", "1m")
        cluster = stack.enter_context(FaultyCluster(Path(scratch), rng, *options, environment=environment))
        client = stack.enter_context(aidb.connect(cluster.address, timeout=30))
        slots = [slot for shard in (0, 1) for slot in rng.sample(cluster.slots_of(shard), SLOTS_EACH)]
        keys = Keys(client, rng, slots)
        for number in range(1, rounds + 1):
            round_ = Round(cluster, rng, slots, number, report.numbers)
            began = time.monotonic()
            did, found = one_round(cluster, client, round_, keys, slots, number)
            report.round(f"{did}, {time.monotonic() - began:.0f} s in all", found)
            if found and (until_found or "nothing came of" in found[0]):
                break
        report.numbers.update(cluster.messages())
        left = _left(cluster)
        report.numbers["leftovers"] += len(left)
        report.violations += len(left)
        for one in left[:10]:
            print(f"  VIOLATION {one}", flush=True)


def _left(cluster: FaultyCluster) -> list[str]:
    """Nobody is told to clean up: they do so as they run."""
    owners = cluster.owners()
    time.sleep(3.0)
    for node in cluster.nodes:
        node.stop()
    return [one for shard in (0, 1) for one in leftovers(cluster.data(shard), owners, shard)]


def did_damage(rounds: int, numbers: Counter[str]) -> bool:
    """Faults that met no move, or none of whom nobody noticed anything, prove nothing."""
    needed = ["aborted_attempts", "committed", "scans", "observed_reads", "observed_refusals"]
    if rounds >= LONG:
        needed += [*moves_faults.COUNTED, "cancelled", "refused_by_full_disk", "floods_beyond_rate"]
        needed += [
            "chunks_lost",
            "chunks_late",
            "connections_cut",
            "faults_while_fenced",
            "faults_while_copying",
        ]
        needed += [f"messages_{kind}" for kind in ("lost", "unheard", "twice", "late", "delayed")]
    missing = [name for name in needed if not numbers[name]]
    if missing:
        print(f"this run did not meet: {', '.join(missing)}", flush=True)
    return not missing


def main(argv: list[str] | None = None) -> int:
    asking: argparse.ArgumentParser = parser("moves")
    asking.add_argument("--part", action="store_true", help="of a longer run: without the mutants")
    asked = asking.parse_args(argv)
    report = Report("moves", asked.seed)
    run(asked.rounds, asked.seed, report)
    told: dict[str, object] = {}
    if not asked.part:
        told = moves_mutants.rounds_to_catch(asked.seed)
    print(report.last_line(**told))
    return report.exit_code(asked.rounds, did_damage(asked.rounds, report.numbers) and all(told.values()))


if __name__ == "__main__":
    sys.exit(main())
