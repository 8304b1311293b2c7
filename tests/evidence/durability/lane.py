"""One cluster's rounds: its primary serves writers, loses its process, what its disk had not synced, or the
whole disk, comes back, and what it then has is checked.

The primary is a real process with the native server and its second copy, started by a nursery. Where its
disk is volatile, SIGKILL is a power failure. A lost disk comes back from the object store into an empty
directory, as `aidb-admin recover` does it.
"""

from __future__ import annotations

import random
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import grpc
from aidb_node.recovery.in_place import in_place
from aidb_node.recovery.recover import Report, recover

from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.objects.errors import NoSuchKey, Unavailable
from aidb.objects.store import ObjectStore
from aidb.v1 import cluster_pb2 as cluster_pb
from aidb.v1 import node_pb2 as node_pb
from aidb.v1 import node_pb2_grpc as node_rpc
from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc as rpc
from tests.backup.support import open_store
from tests.checkers.recovered import Entry, Span, Verdict, check
from tests.coordinator.process import CoordinatorProcess
from tests.evidence.durability.clients import Clients, Recorded
from tests.evidence.durability.plan import Cluster, Loss, Mode, Round, Store, Sync, drawn, promised
from tests.evidence.durability.programs import Nursery
from tests.evidence.durability.stores import Second, opened
from tests.evidence.durability.tails import tail_member, with_tail
from tests.evidence.replays import replayed_as_of_any_age
from tests.objects.faults import FaultyStore, Odds

T = TypeVar("T")
_MS_OF_A_SYNC = 8
_SERVES_SECONDS = 30.0
# A store that is in trouble may not be used for long.
_ARCHIVES_SECONDS = 1.5
_NAME = "shard-0-primary"


class Stuck(Exception):
    """The primary did not come back, or does not serve."""


@dataclass(slots=True)
class Outcome:
    """Of a round. ``numbers`` are for the report's sums."""

    did: str
    violations: list[str]
    numbers: Counter[str] = field(default_factory=Counter)


class Lane:
    """Of one cluster, in ``root``, a directory of its own."""

    def __init__(
        self, cluster: Cluster, root: Path, coordinator: CoordinatorProcess, nursery: Nursery, second: Second
    ) -> None:
        self._cluster = cluster
        self._root = root
        self._data = root / "shard-0"
        self._hidden = root / "unsynced"
        self._coordinator = coordinator
        self._nursery = nursery
        self._second = second
        self._rng = random.Random(cluster.seed)
        self._life = 0
        self._address = ""
        self._span = Span()
        self._names = Names(coordinator.topology().cluster_uid, 0)

    def rounds(self, volatile_disks: bool) -> Iterator[Outcome]:
        """Each begins with a primary that serves and ends with its successor."""
        plan = drawn(self._cluster, self._rng, volatile_disks)
        now = next(plan)
        self._start(now)
        for _ in range(self._cluster.rounds):
            following = next(plan)
            yield self._round(now, following)
            now = following
        self._nursery.kill()

    def _round(self, now: Round, following: Round) -> Outcome:
        met = Counter(self._second.met())
        epoch = self._epoch()
        begin = time.monotonic()
        with Clients(self._address, self._life, self._rng.randrange(2**32)) as clients:
            if now.snapshot:
                self._ask_for_snapshot()
            archived = now.archiving and clients.wait_for_archive(_ARCHIVES_SECONDS)
            time.sleep(now.window)
            self._nursery.kill()
        recorded = clients.recorded()
        killed = time.monotonic()
        dropped, names = self._dropped() if now.volatile else (0, 0)
        claimed = Catalog(self._recovering(now), self._names).newest_claim() > 0
        if now.loss is Loss.DISK and not claimed:
            # The store was never told of this cluster: its disk is all there is.
            now = replace(now, loss=Loss.POWER if now.volatile else Loss.PROCESS)
        violations: list[str] = []
        aside = self._look_aside(now, recorded) if now.looked_aside and claimed else None
        replays: Counter[str] = Counter()
        with replayed_as_of_any_age(self._rng, replays):
            restored = self._restore(now) if now.loss is Loss.DISK else None
        found = self._start_again(following)
        end = restored.lsn if restored else self._cut_of(epoch)
        promise = promised(self._cluster.mode, self._cluster.sync, now.loss)
        floor = self._floor(now, recorded)
        verdict = check(self._span_of(recorded, promise), found, end, floor)
        violations += verdict.problems
        if aside is not None:
            violations += [f"of the second copy: {problem}" for problem in aside.problems]
        self._span = verdict.following
        numbers = self._numbers(now, recorded, verdict, dropped, names)
        numbers["looked_aside"] += aside is not None
        numbers["rounds_archiving"] += archived
        faults = Counter(self._second.met()) - met
        numbers.update({f"faults_{kind}": count for kind, count in faults.items()})
        numbers["faults"] += faults.total()
        numbers["restored_records"] += restored.records if restored else 0
        numbers.update(replays if restored else {})
        did = (
            f"{self._cluster} lost={now.loss} trouble={now.trouble} dropped={dropped} "
            f"acknowledged={verdict.acknowledged} lost_within_mode={verdict.lost} "
            f"doubtful={recorded.doubtful} faults={faults.total()} "
            f"served={killed - begin:.2f}s back_after={time.monotonic() - killed:.2f}s"
        )
        return Outcome(did, violations, numbers)

    def _numbers(
        self, now: Round, recorded: Recorded, verdict: Verdict, dropped: int, names: int
    ) -> Counter[str]:
        numbers: Counter[str] = Counter()
        mode = self._cluster.mode
        numbers["kills"] += 1 + bool(now.killed_starting)
        numbers["kills_starting"] += bool(now.killed_starting)
        numbers[f"losses_{now.loss}"] += 1
        numbers[f"rounds_{self._cluster.store}"] += 1
        numbers[f"rounds_{mode}"] += 1
        numbers[f"rounds_of_{self._cluster.lease:.0f}s_lease"] += 1
        numbers["rounds_that_dropped"] += dropped > 0
        numbers["bytes_dropped"] += dropped
        numbers["names_dropped"] += names
        numbers["acknowledged"] += verdict.acknowledged
        numbers["doubtful"] += recorded.doubtful
        numbers["refused"] += recorded.refused
        numbers[f"lost_within_{mode}"] += verdict.lost
        numbers[f"rounds_losing_{mode}"] += verdict.lost > 0
        numbers["promised"] += verdict.acknowledged if promised(mode, self._cluster.sync, now.loss) else 0
        return numbers

    def _span_of(self, recorded: Recorded, promise: bool) -> Span:
        writes = [replace(write, promised=promise) for write in recorded.writes]
        sights = [replace(sight, promised=promise) for sight in recorded.sights]
        return replace(self._span, writes=writes, sights=sights)

    def _floor(self, now: Round, recorded: Recorded) -> int:
        """The LSN through which everything was said to be safe from what was lost."""
        if now.loss is Loss.DISK:
            return recorded.archived_lsn
        return max(recorded.archived_lsn, recorded.synced_lsn)

    # --- the primary ---

    def _start(self, life: Round) -> dict[bytes, Entry]:
        """What the new primary has."""
        self._fork(life)
        self._address = self._nursery.ready()
        self._life += 1
        found = self._contents()
        if life.trouble_after is not None:
            self._second.begin(life.trouble_after)
        return found

    def _start_again(self, life: Round) -> dict[bytes, Entry]:
        """It may be killed while it starts, and then starts once more."""
        if life.killed_starting:
            self._fork(life)
            time.sleep(life.killed_starting)
            self._nursery.kill()
        return self._start(life)

    def _fork(self, life: Round) -> None:
        faults = self._second.prepare(life.trouble, self._rng.randrange(2**32))
        if life.trouble_after is None:
            self._second.begin(0.0)
        disk = f"{self._hidden},{life.early},{_MS_OF_A_SYNC}"
        sync = Sync.NONE if self._cluster.lies else self._cluster.sync
        self._nursery.start(
            [
                *("primary", "--coordinator", self._coordinator.address, "--name", _NAME, "--shard", "0"),
                *("--data", str(self._data), "--listen", "127.0.0.1:0", "--sync", sync),
                *("--memtable-bytes", "256k", "--cache-bytes", "4m", "--objects", self._second.url),
                *("--archive-every", "0.1", "--snapshot-every", "3", "--node", "n0"),
            ],
            {"AIDB_VOLATILE_DISK": disk} if life.volatile else {},
            self._second.url,
            faults,
            None if life.probes else self._cluster.store is not Store.UNFENCED,
        )

    def _dropped(self) -> tuple[int, int]:
        """Bytes and names that the primary had not synced when it was killed."""
        told = (self._hidden / "at-risk").read_bytes()
        bytes_, names = struct.unpack("<QQ", told)
        return bytes_, names

    def _ask_for_snapshot(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            node_rpc.NodeStub(channel).Backup(node_pb.BackupRequest(), timeout=10)

    # --- what is there ---

    def _shard(self) -> cluster_pb.Shard:
        return self._coordinator.topology().shards[0]

    def _epoch(self) -> int:
        return self._shard().epoch

    def _cut_of(self, epoch: int) -> int:
        """The LSN in which the epoch ended, as its disk said at the restart."""
        for cut in self._shard().cuts:
            if cut.epoch == epoch:
                return cut.lsn
        raise Stuck(f"the topology has no cut of epoch {epoch}: {list(self._shard().cuts)}")

    def _contents(self) -> dict[bytes, Entry]:
        """By a strong scan of the new primary, as soon as it serves."""
        ends = time.monotonic() + _SERVES_SECONDS
        with grpc.insecure_channel(self._address) as channel:
            stub = rpc.StorageStub(channel)
            while True:
                try:
                    answers = list(stub.Scan(pb.ScanRequest(), timeout=10))
                    break
                except grpc.RpcError as error:
                    if time.monotonic() > ends:
                        raise Stuck(f"the primary does not serve: {error.details()}") from error
                    time.sleep(0.01)
        if not answers or not answers[-1].done:
            raise Stuck("a scan of everything did not end")
        return {entry.key: (entry.value, entry.version) for answer in answers for entry in answer.entries}

    # --- from the second copy ---

    def _restore(self, now: Round) -> Report:
        """The disk is gone; an empty directory becomes what it was, as far as it was archived."""
        shutil.rmtree(self._data)
        epoch = self._epoch()

        def run(store: ObjectStore) -> Report:
            catalog = Catalog(store, self._names)
            if self._cluster.mode is Mode.REPLICA:
                return with_tail(catalog, self._data, self._coordinator.topology())
            return in_place(catalog, self._data, Target(), epoch=epoch)

        if now.broken_restore:
            self._break(run, now)
        return run(self._recovering(now))

    def _break(self, run: Callable[[ObjectStore], object], now: Round) -> None:
        """The first attempt loses its store in the middle."""
        try:
            run(_Breaking(self._recovering(now), self._rng.randrange(3, 12)))
        except (Unavailable, NoSuchKey):
            return

    def _look_aside(self, now: Round, recorded: Recorded) -> Verdict:
        """Restores what the second copy has into a directory of its own, though the disk is there."""
        aside = self._root / "aside"
        report = recover(Catalog(self._recovering(now), self._names), aside, Target())
        store = open_store(aside / "store", create=False)
        try:
            with store.scan(b"", b"", None, False, False, None) as scan:
                # A slot and the default keyspace come before a user's key.
                found = {entry.key[3:]: (entry.value, entry.version) for entry in scan}
        finally:
            store.close()
            shutil.rmtree(aside)
        return check(self._span_of(recorded, promise=False), found, report.lsn, recorded.archived_lsn)

    def _recovering(self, now: Round) -> ObjectStore:
        return self._second.recovering(now.trouble, self._rng.randrange(2**32))


class _Breaking(FaultyStore):
    """A store that is gone for good after some calls."""

    def __init__(self, store: ObjectStore, calls: int) -> None:
        super().__init__(store, Odds(), 0)
        self._left = calls

    def _happens(self, what: str, odds: float) -> bool:
        self._left -= what == "error"
        return what == "error" and self._left < 0


@contextmanager
def lane(
    cluster: Cluster, root: Path, nursery: Nursery, environment: Mapping[str, str], s3: str
) -> Iterator[Lane]:
    """All of it is gone at the end."""
    root.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root)
        lease_ms = round(cluster.lease * 1000)
        coordinator = CoordinatorProcess(
            root / "coordinator",
            *("--shards", "1", "--durability", Mode.ASYNC if cluster.lies else cluster.mode),
            *("--lease-ms", str(lease_ms), "--heartbeat-ms", str(lease_ms // 10)),
            log=root / "coordinator.log",
        )
        stack.callback(coordinator.kill)
        second = stack.enter_context(opened(cluster.store, root, s3, cluster.seed))
        if cluster.mode is Mode.REPLICA:
            member = tail_member(coordinator.address, root, environment)
            stack.callback(member.kill)
            member.start()
        yield Lane(cluster, root, coordinator, nursery, second)
