"""Carries operations out: one action after the other, as `steps` decides.

An operation is changed under a lock, so that a cancel that comes while a step is carried out is not
overwritten by what the step makes of it. In memory it is as the journal has it, never ahead.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from aidb import errors
from aidb_coordinator import origin
from aidb_coordinator import topology as topologies
from aidb_coordinator.control import Control
from aidb_coordinator.events import Severity
from aidb_coordinator.health import MemberState
from aidb_coordinator.rebalance import Plan
from aidb_coordinator.scaling import actions
from aidb_coordinator.scaling.actions import Action
from aidb_coordinator.scaling.backups import Snapshots
from aidb_coordinator.scaling.controls import control as controlled
from aidb_coordinator.scaling.journal import Journal
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.scaling.planning import averages, planned, staying
from aidb_coordinator.scaling.progress import OperationProgress, progress_of
from aidb_coordinator.scaling.provisioner import Provisioner, ProvisionError
from aidb_coordinator.scaling.requests import MAX_ID, InTheWay, Limits, Refused, Request, accept
from aidb_coordinator.scaling.room import check_room, free_of
from aidb_coordinator.scaling.sizes import sizes_of
from aidb_coordinator.scaling.steps import next_action
from aidb_coordinator.scaling.view import View
from aidb_coordinator.slot_load import By, NotMeasured
from aidb_coordinator.store import StoreError
from aidb_coordinator.topology import Topology, TopologyError

# Those that have ended and are still shown.
MAX_ENDED = 64
# Steps of one operation between two looks at the others.
_MAX_STEPS = 32
_AWAY = (MemberState.LEFT, MemberState.FAILED)


# Of each slot, what is evened by that; None: slots. Raises NotMeasured.
Figures = Callable[[Topology, By], Sequence[int] | None]


def by_slots(topology: Topology, by: By) -> None:
    """Where nobody measures."""
    if by is not By.SLOTS:
        raise NotMeasured(f"the {by} of single slots is not measured here")


class Manager:
    """Methods raise subclasses of AidbError, and StoreError."""

    def __init__(
        self,
        control: Control,
        journal: Journal,
        provisioner: Provisioner,
        backups: Snapshots,
        limits: Limits,
        figures: Figures = by_slots,
    ) -> None:
        """Raises StoreError."""
        self._figures = figures
        self._control = control
        self._journal = journal
        self._provisioner = provisioner
        self._backups = backups
        self._limits = limits
        self._operations = {operation.id: operation for operation in journal.load()}
        self._waits: dict[str, str] = {}
        self._troubles: dict[str, str] = {}
        self._lock = asyncio.Lock()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Oldest first."""
        return tuple(self._operations.values())

    def under_way(self) -> str:
        """The id of one that has not ended, or nothing."""
        return next((operation.id for operation in self.operations if not operation.ended), "")

    def waits_for(self, operation: Operation) -> str:
        return "" if operation.ended else self._waits.get(operation.id, "")

    def progress(self, operation: Operation) -> OperationProgress:
        topology, movers = self._topology, self._control.movers
        heard = {move.id: movers.heard(move) for move in topology.moves if operation.owns_move(move.id)}
        rates = {move_id: said[0].bytes_per_second for move_id, said in heard.items() if said is not None}
        return progress_of(operation, topology, sizes_of(self._control), rates)

    async def start(self, request: Request) -> Operation:
        """Records an operation; the one of that id if there is one. Raises InvalidArgument, Busy."""
        if len(request.id) > MAX_ID or not request.id.isprintable() or "." in request.id:
            raise errors.InvalidArgument(
                f"the id of an operation has up to {MAX_ID} printable characters, and no dot"
            )
        async with self._lock:
            known = self._operations.get(request.id)
            if known is not None:
                return known
            operation = await self._accepted(request)
            await self._store(operation)
        by = f", asked for by {operation.asked_by}" if operation.asked_by else ""
        self._tell(Severity.NORMAL, "OperationStarted", operation, f"{operation.describe()}{by}")
        return operation

    async def dry_run(self, request: Request) -> tuple[Operation, Plan, Topology]:
        """What it would do, and from which topology on. Raises InvalidArgument, Busy."""
        operation = await self._accepted(request)
        topology = self._topology
        if operation.kind is Kind.ADD_SHARD:
            topology = topologies.add_shards(topology, operation.shards)
        if not operation.reshapes:
            return operation, Plan((), {}, {}), topology
        return operation, await self._plan(operation, topology), topology

    async def _plan(self, operation: Operation, topology: Topology) -> Plan:
        """Raises Busy when what is to be evened is not known yet."""
        sizes = sizes_of(self._control)
        if operation.kind is Kind.REMOVE_SHARD:
            rooms = await asyncio.to_thread(self._provisioner.rooms)
            free = free_of(staying(operation, topology), rooms)
            if free is not None:
                weights = self._bytes(topology) or averages(topology, sizes)
                return await asyncio.to_thread(planned, operation, topology, sizes, weights, free)
        try:
            figures = self._figures(topology, operation.by)
        except NotMeasured as error:
            raise errors.Busy(str(error)) from error
        return await asyncio.to_thread(planned, operation, topology, sizes, figures)

    def _bytes(self, topology: Topology) -> Sequence[int] | None:
        """Of each slot; None: not known yet."""
        try:
            return self._figures(topology, By.BYTES)
        except NotMeasured:
            return None

    async def control(self, operation_id: str, action: str) -> Operation:
        """Pause, resume or cancel. Raises InvalidArgument."""
        async with self._lock:
            operation = self._operations.get(operation_id)
            if operation is None:
                raise errors.InvalidArgument(f"there is no operation {operation_id}")
            try:
                after = controlled(operation, action, self._control.clock.wall_ms())
            except Refused as error:
                raise errors.InvalidArgument(str(error)) from error
            if after != operation:
                await self._store(after)
                self._tell(Severity.NORMAL, "OperationControlled", after, after.state)
        return after

    async def tick(self) -> None:
        """Carries out what can be done now."""
        if all(operation.ended for operation in self._operations.values()):
            return
        await self._backups.follow()
        for operation_id in list(self._operations):
            for _ in range(_MAX_STEPS):
                async with self._lock:
                    if not await self._step(operation_id):
                        break

    async def _step(self, operation_id: str) -> bool:
        """Whether there may be more to do at once."""
        operation = self._operations.get(operation_id)
        if operation is None or operation.ended:
            return False
        asked_by = f", asked for by {operation.asked_by}" if operation.asked_by else ""
        try:
            view = await self._view()
            action = next_action(operation, view)
            if isinstance(action, actions.Wait):
                self._waits[operation.id] = action.what
                return False
            with origin.acting_for(f"operation {operation.id}{asked_by}"):
                await self._carry_out(operation, action, view)
        except (errors.AidbError, ProvisionError, StoreError, TopologyError) as error:
            self._trouble(operation, str(error))
            return False
        self._troubles.pop(operation.id, None)
        return True

    async def _carry_out(self, operation: Operation, action: Action, view: View) -> None:
        """Raises AidbError, ProvisionError, StoreError, TopologyError: then it is tried again."""
        document = self._control.document
        match action:
            case actions.Become(after):
                await self._become(operation, after)
            case actions.Provision(shards, replicas):
                await self._provision(operation, shards, replicas, view)
            case actions.MakePlan():
                plan = await self._plan(operation, view.topology)
                after = replace(
                    operation,
                    plan=plan.moves,
                    plans=operation.plans + 1,
                    phase=Phase.MOVING,
                    since_ms=view.now_ms,
                )
                await self._store(after)
            case actions.BeginMoves(begin):
                starts = (
                    self._control.movers.start(move_id, move.slots, move.source, move.target)
                    for move_id, move in begin
                )
                await asyncio.gather(*starts)
            case actions.CancelMoves(ids):
                await asyncio.gather(*map(self._control.movers.cancel, ids))
            case actions.BackUp(shard_id):
                shard = topologies.existing(view.topology, shard_id)
                address = "" if shard.primary is None else shard.primary.address
                problem = await self._backups.ask(shard_id, address, f"before shard {shard_id} goes")
                if problem:
                    raise errors.Unavailable(problem)
            case actions.Drop(shards):
                await document.commit(lambda topology: (topologies.drop_shards(topology, shards), None))
                self._backups.forget(shards)
                for shard_id in shards:
                    self._tell(Severity.NORMAL, "ShardRemoved", operation, f"shard {shard_id}")
            case actions.Retire(shards):
                for shard_id in shards:
                    await asyncio.to_thread(self._provisioner.remove_shard, shard_id)
            case actions.SetReplicas(shard_id, count, without):
                await asyncio.to_thread(self._provisioner.ensure_replicas, shard_id, count, without)
            case actions.Forget(name):
                await self._control.forget(name)

    async def _provision(
        self, operation: Operation, shards: tuple[int, ...], replicas: int, view: View
    ) -> None:
        for shard in shards:
            await asyncio.to_thread(self._provisioner.ensure_shard, shard, replicas)
        try:
            await self._control.document.commit(
                lambda topology: (topologies.add_shards(topology, shards), None)
            )
        except TopologyError as error:
            # Another topology than the one it was asked for: the cluster was restored meanwhile.
            await self._store(replace(operation, state=State.CANCELLING, error=str(error)))

    async def _become(self, before: Operation, after: Operation) -> None:
        await self._store(after)
        if after.ended:
            self._waits.pop(after.id, None)
            severity = Severity.WARNING if after.state is State.FAILED else Severity.NORMAL
            message = f"{after.describe()} is {after.state}" + (f": {after.error}" if after.error else "")
            self._tell(severity, "OperationEnded", after, message)

    async def _accepted(self, request: Request) -> Operation:
        request = request if request.id else replace(request, id=uuid.uuid4().hex[:12])
        live = [operation for operation in self._operations.values() if not operation.ended]
        provisioned = await asyncio.to_thread(self._provisioner.observe)
        rooms = await asyncio.to_thread(self._provisioner.rooms)
        now_ms = self._control.clock.wall_ms()
        try:
            operation = accept(request, self._topology, provisioned, live, self._limits, now_ms)
            if operation.kind is Kind.REMOVE_SHARD:
                check_room(operation.shards, self._topology, sizes_of(self._control), rooms)
            return operation
        except InTheWay as error:
            raise errors.Busy(str(error)) from error
        except Refused as error:
            raise errors.InvalidArgument(str(error)) from error

    async def _view(self) -> View:
        control = self._control
        provisioned = await asyncio.to_thread(self._provisioner.observe)
        states = {name: control.roster.verdict(name).state for name in self._topology.members}
        return View(
            topology=self._topology,
            healthy=frozenset(name for name, state in states.items() if state is MemberState.HEALTHY),
            away=frozenset(name for name, state in states.items() if state in _AWAY),
            provisioned=provisioned,
            now_ms=control.clock.wall_ms(),
            backups=self._backups.states,
            archives=bool(control.settings.objects),
            moves_per_shard=control.settings.moves_per_shard,
            moves_at_once=control.settings.moves_at_once,
        )

    async def _store(self, operation: Operation) -> None:
        after = {**self._operations, operation.id: operation}
        ended = [known.id for known in after.values() if known.ended]
        for old in ended[:-MAX_ENDED]:
            del after[old]
        await asyncio.to_thread(self._journal.save, tuple(after.values()))
        self._operations = after

    def _trouble(self, operation: Operation, what: str) -> None:
        """Told once, until something else happens."""
        self._waits[operation.id] = what
        if self._troubles.get(operation.id) != what:
            self._troubles[operation.id] = what
            self._tell(Severity.WARNING, "OperationDelayed", operation, what)

    @property
    def _topology(self) -> Topology:
        return self._control.topology

    def _tell(self, severity: Severity, reason: str, operation: Operation, message: str) -> None:
        self._control.events.add(severity, reason, f"operation {operation.id}", message)
