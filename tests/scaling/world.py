"""A coordinator with a store in memory, programs that come and go as it provisions, and moves that end.

After every effect that lasts (a swap of the topology, a record of the journal, a call of the provisioner) the
coordinator may die.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aidb_coordinator.movers import Progress, Report
from aidb_coordinator.scaling.backups import Snapshots
from aidb_coordinator.scaling.manager import Manager
from aidb_coordinator.scaling.operation import Operation
from aidb_coordinator.scaling.provisioner import Provisioner
from aidb_coordinator.scaling.requests import Limits, Request
from aidb_coordinator.scaling.room import Room
from aidb_coordinator.scaling.view import Backup
from aidb_coordinator.store import Stored
from aidb_coordinator.topology import UNDER_WAY, Member, Move, MoveStep, Topology

from tests.coordinator.test_control import Cluster, MemoryStore
from tests.coordinator.values import primary, replica, topology

_NOTHING = Progress("", 0, 0, 0, 0, 0)
_MOST_ROUNDS = 400


class Died(Exception):
    """The coordinator's process is gone."""


class Effects:
    """Counts what lasts, once `armed`, and dies after the `at`-th (0: never)."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.count, self.armed = at, 0, False

    def of(self, effect: Callable[[], object]) -> None:
        self.count += self.armed
        effect()
        if self.armed and self.count == self.at:
            self.armed = False
            raise Died


class Life(MemoryStore):
    """The store as one coordinator sees it: what it has begun when it dies does not happen any more."""

    def __init__(self, store: MemoryStore, effects: Effects) -> None:
        super().__init__(store.stored)
        self._store, self._effects = store, effects
        self.over = False

    def swap(self, expected: str | None, topology: Topology) -> Stored:
        if self.over:
            raise Died
        self._effects.of(lambda: self._store.swap(expected, topology))
        self.stored = self._store.stored
        return self.stored


class MemoryJournal:
    def __init__(self, effects: Effects) -> None:
        self.kept: tuple[Operation, ...] = ()
        self._effects = effects

    def load(self) -> tuple[Operation, ...]:
        return self.kept

    def save(self, operations: Sequence[Operation]) -> None:
        def keep() -> None:
            self.kept = tuple(operations)

        self._effects.of(keep)


class MemoryProvisioner(Provisioner):
    def __init__(self, effects: Effects, shards: Sequence[int]) -> None:
        self.wanted: dict[int, tuple[int, ...]] = dict.fromkeys(shards, ())
        self.disks: dict[int, Room] = {}
        self._effects = effects

    def ensure_shard(self, shard: int, replicas: int) -> None:
        self._effects.of(lambda: self.wanted.setdefault(shard, tuple(range(replicas))))

    def remove_shard(self, shard: int) -> None:
        self._effects.of(lambda: self.wanted.pop(shard, None))

    def ensure_replicas(self, shard: int, count: int, without: tuple[str, ...] = ()) -> None:
        def ensure() -> None:
            kept = [n for n in self.wanted[shard] if replica(shard, n).name not in without][:count]
            kept += [n for n in range(99) if n not in self.wanted[shard]][: count - len(kept)]
            self.wanted[shard] = tuple(kept)

        self._effects.of(ensure)

    def rooms(self) -> Mapping[int, Room]:
        return self.disks

    def observe(self) -> Mapping[int, tuple[str, ...]]:
        return {shard: tuple(replica(shard, n).name for n in found) for shard, found in self.wanted.items()}


class FailingOnce(Snapshots):
    """Of a store that fails the first time."""

    def __init__(self) -> None:
        self.done: dict[int, Backup] = {}
        self.taken: list[int] = []

    @property
    def states(self) -> Mapping[int, Backup]:
        return self.done

    async def ask(self, shard: int, address: str, name: str) -> str:
        self.taken.append(shard)
        if self.taken.count(shard) == 1:
            return "the store is away"
        self.done[shard] = Backup.DONE
        return ""

    async def follow(self) -> None:
        return None

    def forget(self, shards: tuple[int, ...]) -> None:
        for shard in shards:
            self.done.pop(shard, None)


class World:
    """`shards` of them serve after a round."""

    def __init__(self, directory: Path, shards: int, effects: Effects) -> None:
        self.cluster = Cluster(directory, heartbeat_timeout_ms=60_000, objects="file:///nowhere")
        self.cluster.store.stored = Stored(topology(shards), "1")
        self.journal = MemoryJournal(effects)
        self.provisioner = MemoryProvisioner(effects, range(shards))
        # Shards whose programs do not start.
        self.absent: set[int] = set()
        self._effects = effects
        self._store = self.cluster.store
        self.restart()

    def restart(self) -> None:
        if isinstance(self.cluster.store, Life):
            self.cluster.store.over = True
        self.cluster.store = Life(self._store, self._effects)
        self.cluster.restart()
        self._store.stored = self.cluster.store.stored
        self.snapshots = FailingOnce()
        self.manager = Manager(
            self.cluster.control, self.journal, self.provisioner, self.snapshots, Limits(max_shards=8)
        )

    @property
    def topology(self) -> Topology:
        return self.cluster.control.topology

    async def start(self, request: Request) -> None:
        try:
            await self.manager.start(request)
        except Died:
            self.restart()
            await self.manager.start(request)

    async def control(self, operation_id: str, action: str) -> None:
        try:
            await self.manager.control(operation_id, action)
        except Died:
            self.restart()
            await self.manager.control(operation_id, action)

    async def run(
        self, operation_id: str, until: Callable[[Operation], bool] = lambda one: one.ended
    ) -> Operation:
        """Until then; the coordinator starts again when it dies."""
        for _ in range(_MOST_ROUNDS):
            found = {operation.id: operation for operation in self.manager.operations}[operation_id]
            if until(found):
                return found
            try:
                await self.round()
            except Died:
                self.restart()
        raise AssertionError(f"{found} waits for {self.manager.waits_for(found)}")

    async def round(self) -> None:
        """Time passes, programs do what they do, the coordinator looks once."""
        self.cluster.now += 1.0
        self.cluster.wall += 1_000
        await self._programs()
        await self._moves()
        await self.cluster.control.movers.tick()
        await self.manager.tick()

    async def _programs(self) -> None:
        control = self.cluster.control
        for shard in self.topology.shards:
            if shard.id not in self.provisioner.wanted or shard.id in self.absent:
                continue
            one = primary(shard.id, f"127.0.0.1:{7000 + shard.id}")
            await self._serve(one, 1)
            for number in self.provisioner.wanted[shard.id]:
                await self._serve(replica(shard.id, number, f"127.0.0.1:{8000 + 100 * shard.id + number}"), 0)
        wanted = {name for names in self.provisioner.observe().values() for name in names}
        for shard in self.topology.shards:
            for member in shard.replicas:
                if member.name not in wanted:
                    control.leave(member.name, "p")

    async def _serve(self, member: Member, epoch: int) -> None:
        self.cluster.listening.add(member.address)
        if member.name not in self.topology.members:
            await self.cluster.register(member, disk=(f"disk-{member.shard}", 0, 0))
        self.cluster.beat(member, epoch=epoch)

    async def _moves(self) -> None:
        for move in self.topology.moves:
            if move.step not in UNDER_WAY:
                continue
            fenced = move.step is MoveStep.FENCED
            await self._report(move, ready=not fenced, final_lsn=9, since_lsn=50 if fenced else 0)

    async def fail_move(self, move: Move) -> None:
        """Its attempt cannot go on."""
        await self._report(move, failed="asked to")

    async def _report(self, move: Move, **said: Any) -> None:
        report = Report(
            name=primary(move.target).name,
            process_id="p",
            epoch=move.target_epoch,
            move_id=move.id,
            attempt=move.attempt,
            progress=_NOTHING,
            **said,
        )
        await self.cluster.control.movers.report(report)
