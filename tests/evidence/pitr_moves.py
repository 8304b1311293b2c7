"""The part of `evidence-pitr` about clusters whose slots move: a restore to any time before, during and after
moves has each key as it was then, whichever shard it was at; and it can go on with another number of shards.

Three shards are written to by clients that note when each write was sent and answered, while slots move
between them, snapshots are taken, and primaries and the coordinator are killed. All shards are then restored
from the object store to times that are drawn: some by chance, most close to a step of a move. Whose a slot
was, the topology's history says. A key has to have a write that was sent by then, and none may be missing
that was answered by then.

In the end the cluster itself goes back to such a time, in place, and one of its shards gives all its slots to
the others: with two shards it has the same keys as with three. And `aidb-admin recover` takes a local cluster
of three shards back to when it had one, and one of one shard to when it had three.
"""

from __future__ import annotations

import base64
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aidb_coordinator import restoring
from aidb_coordinator.topology import unpack_owners
from aidb_node.recovery.in_place import prepare_in_place
from aidb_node.recovery.recover import recover

import aidb
from aidb.client import Client
from aidb.durability.catalog import Catalog
from aidb.durability.cluster_plan import cluster_plan
from aidb.durability.history import History
from aidb.durability.names import Names
from aidb.objects.file import FileStore
from aidb.physical import split
from aidb.v1 import node_pb2
from tests.backup.support import open_store
from tests.cli.admin import admin
from tests.cli.command import Command
from tests.coordinator.process import until
from tests.evidence.replays import replayed_as_of_any_age
from tests.evidence.report import Report
from tests.moves.cluster import Cluster, keys_in
from tests.moves.writers import Writers, state_of

SHARDS = 3
SLOTS_EACH = 4
KEYS_EACH = 4
OPTIONS = ("--snapshot-every", "86400", "--move-rate", "2m", "--memtable-bytes", "1m")
_WAIT_SECONDS = 60.0
# Without which a run shows nothing.
NEEDED = (
    "cluster_writes",
    "cluster_moves",
    "cluster_times_before",
    "cluster_times_committed",
    "cluster_times_after",
    "cluster_in_place",
    "cluster_to_1_shards",
    "cluster_to_3_shards",
)
_CLOSE_MS = 40


@dataclass(frozen=True, slots=True)
class Write:
    """`state_of(number)` is what it leaves. In ms since 1970; `answered_ms` 0: nobody knows."""

    number: int
    sent_ms: int
    answered_ms: int


class TimedWriters(Writers):
    """They note when they write."""

    def __init__(self, address: str, keys: Sequence[bytes]) -> None:
        super().__init__(address, keys)
        self.writes: dict[bytes, list[Write]] = defaultdict(list)

    def _write(self, client: Client, key: bytes, number: int) -> None:
        before, sent_ms = self.acknowledged[key], _now_ms()
        super()._write(client, key, number)
        known = self.acknowledged[key] > before
        self.writes[key].append(Write(number, sent_ms, _now_ms() if known else 0))


def allowed(writes: Sequence[Write], clock_ms: int) -> set[bytes | None]:
    """What a key may hold at that time."""
    least = max((one.number for one in writes if 0 < one.answered_ms <= clock_ms), default=0)
    sent = [one.number for one in writes if one.sent_ms <= clock_ms and one.number >= least]
    return {state_of(number) for number in ([] if least else [0]) + sent}


@dataclass(slots=True)
class Story:
    """What happened. `moments`: times close to a step of a move, and what it was."""

    root: Path
    cluster_uid: str
    writers: TimedWriters
    moments: list[tuple[int, str]] = field(default_factory=list)
    first_ms: int = 0
    last_ms: int = 0

    @property
    def history(self) -> History:
        return History(FileStore(self.root / "objects"), self.cluster_uid)

    def catalog(self, shard: int) -> Catalog:
        return Catalog(self.history.store, Names(self.cluster_uid, shard))


def run(root: Path, rng: random.Random, moves: int, times: int, report: Report) -> None:
    """`moves` moves under writers, then `times` restores to scratch, and one in place."""
    with Cluster(root, *OPTIONS, shards=SHARDS) as cluster:
        story = live(cluster, root, rng, moves, report)
        check(story, rng, times, report)
        go_on(cluster, story, rng, report)


def live(cluster: Cluster, root: Path, rng: random.Random, moves: int, report: Report) -> Story:
    """Moves, one after the other, under writers. In the end nothing runs, and all is archived."""
    slots = [slot for shard in range(SHARDS) for slot in rng.sample(cluster.slots_of(shard), SLOTS_EACH)]
    writers = TimedWriters(cluster.address, keys_in(slots, KEYS_EACH, "timed"))
    story = Story(root, cluster.coordinator.topology().cluster_uid, writers)
    _back_up(cluster, range(SHARDS))
    with writers:
        until(lambda: writers.count > 2 * len(slots) * KEYS_EACH)
        story.first_ms = _now_ms()
        for number in range(moves):
            _move(cluster, rng, slots, f"move-{number}", story, report)
    story.last_ms = _now_ms()
    version = cluster.coordinator.topology().version
    until(lambda: story.history.newest_version() >= version)
    _stop(cluster)
    report.numbers["cluster_writes"] += writers.count
    report.numbers["cluster_moves"] += moves
    return story


def _stop(cluster: Cluster) -> None:
    """In order: what was written is archived."""
    for node in cluster.nodes:
        assert node.stop() == 0
    assert cluster.coordinator.stop() == 0


def _move(
    cluster: Cluster, rng: random.Random, slots: list[int], name: str, story: Story, report: Report
) -> None:
    owners = cluster.owners()
    source = owners[rng.choice(slots)]
    target = rng.choice([shard for shard in range(SHARDS) if shard != source])
    mine = [slot for slot in slots if owners[slot] == source]
    story.moments.append((_now_ms(), "before"))
    cluster.move(rng.sample(mine, rng.randint(1, len(mine))), source, target, name)
    if rng.random() < 0.3:
        _back_up(cluster, [rng.choice((source, target))])
    victim = rng.choice(("", "", "", "coordinator", "source", "target"))
    time.sleep(rng.uniform(0.0, 0.6))
    if victim == "coordinator":
        cluster.coordinator.kill()
        cluster.restart_coordinator()
    elif victim:
        shard = source if victim == "source" else target
        cluster.nodes[shard].kill()
        cluster.restart(shard)
    report.numbers["cluster_kills"] += bool(victim)
    ends = time.monotonic() + _WAIT_SECONDS
    seen = ""
    while seen != "committed":
        assert time.monotonic() < ends, f"{name} is {seen}"
        step = cluster.step(name)
        if step and step != seen:
            story.moments.append((_now_ms(), step))
            seen = step
        time.sleep(0.002)
    if victim == "" and rng.random() < 0.3:
        # While the source deletes, and what it knows of the commit may be archived nowhere else yet.
        cluster.coordinator.kill()
        story.moments.append((_now_ms(), "coordinator down"))
        time.sleep(rng.uniform(0.0, 0.5))
        story.moments.append((_now_ms(), "coordinator down"))
        cluster.restart_coordinator()
        report.numbers["cluster_kills_at_commit"] += 1
    until(lambda: cluster.status(name) is not None)
    story.moments.append((_now_ms(), "after"))


def _back_up(cluster: Cluster, shards: Sequence[int]) -> None:
    for shard in shards:
        cluster.nodes[shard].node.Backup(node_pb2.BackupRequest(), timeout=20)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def draw(story: Story, rng: random.Random, count: int) -> list[tuple[int, str]]:
    """Times, and what they are close to."""
    found = []
    for _ in range(count):
        if rng.random() < 0.25:
            found.append((rng.randint(story.first_ms, story.last_ms), "by chance"))
        else:
            moment, what = rng.choice(story.moments)
            found.append((moment + rng.randint(-_CLOSE_MS, _CLOSE_MS), what))
    return found


def check(story: Story, rng: random.Random, count: int, report: Report) -> None:
    """`count` restores of all shards."""
    for clock_ms, what in draw(story, rng, count):
        with replayed_as_of_any_age(rng, report.numbers):
            found = restored(story, clock_ms)
        wrong = list(problems(story, found, clock_ms))
        report.numbers["cluster_times"] += 1
        report.numbers[f"cluster_times_{what.replace(' ', '_')}"] += 1
        report.violations += len(wrong)
        print(f"cluster time {clock_ms} ({what}) keys={len(found)} violations={len(wrong)}", flush=True)
        for one in wrong[:5]:
            print(f"  VIOLATION {one}", flush=True)


def restored(story: Story, clock_ms: int) -> dict[bytes, bytes]:
    """What the clients of the restored cluster would read."""
    history = story.history
    newest = history.get(history.newest_version())
    then = history.at(clock_ms)
    owners = unpack_owners(then.topology.slot_owners)
    found: dict[bytes, bytes] = {}
    for plan in cluster_plan(then.topology, [newest.topology], clock_ms):
        directory = story.root / f"restored-{plan.shard}"
        try:
            recover(story.catalog(plan.shard), directory, plan.target)
            store = open_store(directory / "store", create=False)
            try:
                with store.scan(b"", b"", None, False, False, None) as scan:
                    for entry in scan:
                        slot, _, key = split(entry.key)
                        if owners[slot] == plan.shard:
                            found[key] = entry.value
            finally:
                store.close()
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return found


def problems(story: Story, found: dict[bytes, bytes], clock_ms: int) -> Iterator[str]:
    writes = story.writers.writes
    for key in found.keys() - writes.keys():
        yield f"{key!r} should not be there"
    for key, own in writes.items():
        may = allowed(own, clock_ms)
        if found.get(key) not in may:
            yield f"{key!r} has {found.get(key)!r} at {clock_ms}, not {sorted(map(str, may))}"


def go_on(cluster: Cluster, story: Story, rng: random.Random, report: Report) -> None:
    """The cluster goes back in place, and on with a shard less."""
    clock_ms, what = draw(story, rng, 1)[0]
    history = story.history
    newest = history.get(history.newest_version()).topology
    then = history.at(clock_ms).topology
    prepared = {
        plan.shard: prepare_in_place(
            story.catalog(plan.shard), cluster.data(plan.shard), plan.target, epoch=plan.epoch
        )
        for plan in cluster_plan(then, [newest], clock_ms)
    }
    reports = {shard: one.put_in_place() for shard, one in prepared.items()}
    asked = {
        "then": base64.b64encode(then.SerializeToString()).decode(),
        "newest": base64.b64encode(newest.SerializeToString()).decode(),
        "shards": [
            {"id": shard, "epoch": one.report.epoch, "disk_id": one.disk_id, "lsn": reports[shard].lsn}
            for shard, one in prepared.items()
        ],
    }
    restoring.run(story.root / "coordinator", asked)
    cluster.restart_coordinator()
    for shard in range(SHARDS):
        cluster.restart(shard)
    cluster.wait_healthy()
    with aidb.connect(cluster.address, timeout=30) as client:
        wrong = _read(client, story, clock_ms)
        gone = SHARDS - 1
        for target in range(gone):
            leaving = cluster.slots_of(gone)
            part = leaving[: len(leaving) // 2] if target == 0 else leaving
            cluster.move(part, gone, target, f"drain-{target}")
            cluster.wait_committed(f"drain-{target}")
        assert not cluster.slots_of(gone)
        cluster.nodes[gone].kill()
        wrong += _read(client, story, clock_ms)
    report.numbers["cluster_in_place"] += 1
    report.violations += len(wrong)
    print(
        f"cluster in place {clock_ms} ({what}), then with {gone} shards violations={len(wrong)}", flush=True
    )
    for one in wrong[:5]:
        print(f"  VIOLATION {one}", flush=True)


def _read(client: Client, story: Story, clock_ms: int) -> list[str]:
    return list(problems(story, {entry.key: entry.value for entry in client.scan()}, clock_ms))


def reshape(root: Path, report: Report) -> None:
    """`aidb up` and `aidb-admin` as users run them, to times with one shard and with three."""
    command = Command(root, root / "data")
    command("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 0)
    try:
        address = command.document("status")["coordinator"]["address"]
        with aidb.connect(address, timeout=30) as client:
            one = _fill(client, "one")
            admin(command, "add-shard", "--count", 2, "--yes")
            _wait_shards(command, 3)
            three = _fill(client, "three")
            admin(command, "remove-shard", "--shard", 0, "--shard", 2, "--yes")
            _wait_shards(command, 1)
            _fill(client, "late")
        wrong = []
        for then, shards in ((three, 3), (one, 1)):
            clock_ms, expected = then
            command("down")
            done = admin(command, "recover", "--to-time", clock_ms)
            command("up", "--detach")
            with aidb.connect(address, timeout=30) as client:
                found = {entry.key: entry.value for entry in client.scan()}
            if len(done["shards"]) != shards:
                wrong.append(f"{len(done['shards'])} shards came back, not {shards}")
            if found != expected:
                wrong.append(f"to {shards} shards: {len(found)} keys, not {len(expected)}")
            report.numbers[f"cluster_to_{shards}_shards"] += 1
        report.violations += len(wrong)
        print(f"recovered from 1 to 3 and from 3 to 1 shards violations={len(wrong)}", flush=True)
        for problem in wrong:
            print(f"  VIOLATION {problem}", flush=True)
    finally:
        command.run("down")


def _fill(client: Client, name: str) -> tuple[int, dict[bytes, bytes]]:
    """Keys are added and changed; when all of that was so, and what there is."""
    client.put_many({f"{name}-{number}".encode(): name.encode() for number in range(300)}).raise_for_errors()
    client.put_many({f"all-{number}".encode(): name.encode() for number in range(300)}).raise_for_errors()
    client.delete_many([f"{name}-{number}".encode() for number in range(0, 300, 7)]).raise_for_errors()
    found = {entry.key: entry.value for entry in client.scan()}
    at_ms = _now_ms() + 1
    until(lambda: _now_ms() > at_ms + 1)
    return at_ms, found


def _wait_shards(command: Command, count: int) -> None:
    def has() -> bool:
        shards = command.document("status")["shards"]
        return len(shards) == count and all(shard["slots"] for shard in shards)

    until(has, 120.0)
