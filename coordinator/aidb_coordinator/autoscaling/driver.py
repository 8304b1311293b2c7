"""At each interval: a sample, a decision, and at most one operation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from aidb import errors
from aidb_coordinator.autoscaler import Decision, History, Mode, Rules, RulesError, Sample, decide
from aidb_coordinator.autoscaler.configuration import configured
from aidb_coordinator.autoscaler.steps import Step, next_step
from aidb_coordinator.autoscaling.memory import Begun, Memory, MemoryKeeper
from aidb_coordinator.control import Control
from aidb_coordinator.events import Severity
from aidb_coordinator.health import MemberState
from aidb_coordinator.sampler import Sampler
from aidb_coordinator.store import StoreError

log = logging.getLogger("aidb.coordinator")


class Operations(Protocol):
    """Who carries steps out."""

    def in_the_way(self) -> str:
        """The operation that has not ended, in words; empty = there is none."""

    async def begin(self, step: Step, asked_by: str) -> str:
        """Returns the operation's id. Raises AidbError, StoreError."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the newest decision. step: what it comes to; None: nothing changes. held: why it was not begun."""

    decision: Decision
    step: Step | None
    held: str = ""


class Autoscaler:
    """`run` until cancelled. `operations` is None where nobody starts and stops programs."""

    def __init__(
        self, control: Control, sampler: Sampler, keeper: MemoryKeeper, operations: Operations | None
    ) -> None:
        """Raises StoreError."""
        self._control = control
        self._sampler = sampler
        self._keeper = keeper
        self._operations = operations
        self._memory = keeper.load()
        self._rules = self._rules_of(self._memory)
        clock = control.clock
        self._history = History(changes=self._memory.history(clock.monotonic(), clock.wall_ms()))
        self._changed = asyncio.Event()
        # Held from where a new memory is made of the last one until it is saved: administrators configure
        # while a sample is remembered, and neither may be lost.
        self._saving = asyncio.Lock()
        self.outcome: Outcome | None = None

    @property
    def rules(self) -> Rules:
        return self._rules

    @property
    def history(self) -> History:
        return self._history

    @property
    def memory(self) -> Memory:
        return self._memory

    async def run(self) -> None:
        try:
            while True:
                begin = self._control.clock.monotonic()
                await self.look(begin)
                took = self._control.clock.monotonic() - begin
                await self._rest(max(0.0, self._rules.interval - took))
        finally:
            await self._sampler.close()

    async def configure(self, mode: str, settings: Mapping[str, str], unset: frozenset[str]) -> None:
        """Changes what is named, durably. Raises InvalidArgument, StoreError."""
        async with self._saving:
            memory = self._configured(mode, settings, unset)
            try:
                rules = self._rules_of(memory)
            except RulesError as error:
                raise errors.InvalidArgument(str(error)) from error
            await self._save(memory)
            self._rules = rules
        self._changed.set()
        self._control.events.add(
            Severity.NORMAL, "AutoscalerConfigured", "autoscaler", f"mode {rules.mode.value}"
        )

    def _configured(self, mode: str, settings: Mapping[str, str], unset: frozenset[str]) -> Memory:
        """Raises InvalidArgument."""
        kept = {name: value for name, value in self._memory.settings.items() if name not in unset}
        if foreign := unset - self._memory.settings.keys():
            raise errors.InvalidArgument(f"{min(foreign)} is not set")
        memory = replace(self._memory, settings={**kept, **settings})
        if not mode:
            return memory
        if mode not in [one.value for one in Mode]:
            raise errors.InvalidArgument(f"{mode!r} is no mode: off, recommend or on")
        if mode == Mode.ON.value and self._operations is None:
            raise errors.InvalidArgument(
                "nobody here starts and stops programs by it: it can only recommend (in Kubernetes: "
                "spec.autoscaling of the AidbCluster)"
            )
        return replace(memory, mode=mode)

    async def decide(self) -> tuple[History, Decision | None]:
        """By what is known now, which is returned as well; in a thread, because a large cluster takes a
        while.
        """
        history, now = self._history, self._control.clock.monotonic()
        return history, await asyncio.to_thread(decide, history, self._rules, now)

    async def look(self, now: float) -> None:
        """One sample, and what follows."""
        sample = await self._sampler.sample(now)
        try:
            await self._take(sample)
            _, decision = await self.decide()
            self.outcome = None if decision is None else await self._act(decision, sample)
        except StoreError as error:
            # What is not remembered is not begun.
            log.error("the autoscaler waits: %s", error)
            if self.outcome is not None:
                self.outcome = replace(self.outcome, held=str(error))

    async def _take(self, sample: Sample) -> None:
        clock, keep = self._control.clock, self._rules.keep_seconds
        async with self._saving:
            memory, found = self._memory.seen(sample, clock.wall_ms(), int(keep * 1000))
            if not self._history.samples and found:
                # What changed while nobody looked may have changed a moment ago.
                begun = replace(memory, changes=found).history(sample.at, clock.wall_ms())
                self._history = replace(self._history, changes=(*self._history.changes, *begun))
            self._history = self._history.with_sample(sample, keep)
            if memory is not self._memory:
                await self._save(memory)

    async def _act(self, decision: Decision, sample: Sample) -> Outcome:
        step = next_step(decision, sample)
        if step is None:
            return Outcome(decision, None)
        if not decision.apply or self._operations is None:
            return Outcome(decision, step, f"mode {self._rules.mode.value}: nothing is applied")
        held = self._operations.in_the_way() or self._absent()
        if held:
            return Outcome(decision, step, held)
        try:
            operation = await self._operations.begin(step, "autoscaler")
        except errors.AidbError as error:
            return Outcome(decision, step, error.message)
        now_ms = self._control.clock.wall_ms()
        message = f"{step.describe()}: {'; '.join(step.reasons)}"
        self._control.events.add(Severity.NORMAL, "AutoscalerStep", f"operation {operation}", message)
        async with self._saving:
            await self._save(self._memory.with_step(Begun(now_ms, step.describe(), operation, step.reasons)))
        return Outcome(decision, step)

    def _absent(self) -> str:
        """A member that is not as it should be: what it lacks, others have to do."""
        for shard in self._control.topology.shards:
            for member in shard.members():
                state = self._control.roster.verdict(member.name).state
                if state not in (MemberState.HEALTHY, MemberState.LEFT):
                    return (
                        f"{member.name} is {state.name.lower()}: nothing is begun until all members are well"
                    )
        return ""

    def _rules_of(self, memory: Memory) -> Rules:
        """Raises RulesError."""
        settings = self._control.settings
        mode = Mode(memory.mode or settings.autoscale)
        if mode is Mode.ON and self._operations is None:
            mode = Mode.RECOMMEND
        started = Rules(mode=mode, interval=settings.autoscale_interval)
        return configured(started, memory.settings)

    async def _save(self, memory: Memory) -> None:
        """Raises StoreError."""
        await asyncio.to_thread(self._keeper.save, memory)
        self._memory = memory

    async def _rest(self, seconds: float) -> None:
        """Until the next sample is due, or the configuration changes."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
        self._changed.clear()
