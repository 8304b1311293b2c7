"""What the autoscaler begins, when it steps aside, and what it remembers."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from aidb_coordinator.autoscaler import Figures, Mode, Sample, ShardFigures
from aidb_coordinator.autoscaler.steps import Step
from aidb_coordinator.autoscaling.driver import Autoscaler
from aidb_coordinator.autoscaling.memory import Begun, Changed, Memory, MemoryFile, decode, encode
from aidb_coordinator.health import MemberState
from aidb_coordinator.settings import Settings
from aidb_coordinator.store import StoreError

from aidb import errors
from tests.coordinator.values import primary, replica, topology


class Clock:
    def __init__(self, mono: float, wall_ms: int) -> None:
        self.mono, self.wall = mono, wall_ms

    def monotonic(self) -> float:
        return self.mono

    def wall_ms(self) -> int:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += int(seconds * 1000)


class Control:
    """As much of one as the driver looks at: a shard with one replica."""

    def __init__(self, directory: Path, clock: Clock, **settings: Any) -> None:
        self.settings = Settings(directory, "127.0.0.1:0", **{"autoscale": "on", **settings})
        self.clock = clock
        shards = (replace(topology(1).shards[0], primary=primary(), replicas=(replica(),)),)
        self.topology = replace(topology(1), shards=shards)
        self.states: dict[str, MemberState] = {}
        self.roster = self
        self.events = self
        self.told: list[str] = []

    def verdict(self, name: str) -> Any:
        return self

    @property
    def state(self) -> MemberState:
        return self.states.get("", MemberState.HEALTHY)

    def add(self, severity: object, reason: str, subject: str, message: str) -> None:
        self.told.append(reason)


class Samples:
    """Gives the same figures at each look."""

    def __init__(self) -> None:
        self.cpu, self.replicas = 0.95, 1

    async def sample(self, now: float) -> Sample:
        one = Figures(cpu=self.cpu, read_ms=0.0, hit_ratio=1.0, cache_full=0.5)
        members = (one,) * self.replicas
        shard = ShardFigures(0, self.replicas, members, Figures(cpu=0.3), bytes=6e9, writes=6e3)
        return Sample(now, (shard,))

    async def close(self) -> None:
        pass


class Fake:
    """Operations that end at once, unless they are told not to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.way, self.refusal = "", ""

    def in_the_way(self) -> str:
        return self.way

    async def begin(self, step: Step, asked_by: str) -> str:
        if self.refusal:
            raise errors.Busy(self.refusal)
        self.begun.append(step.describe())
        return f"operation-{len(self.begun)}"


class Rig:
    def __init__(self, directory: Path, clock: Clock | None = None, **settings: Any) -> None:
        self.clock = clock or Clock(1_000.0, 1_700_000_000_000)
        self.control = Control(directory, self.clock, **settings)
        self.samples, self.operations = Samples(), Fake()
        self.file = MemoryFile(directory)
        self.scaler = Autoscaler(cast(Any, self.control), cast(Any, self.samples), self.file, self.operations)

    def look(self, times: int = 1) -> str:
        """Why the last one was held."""
        for _ in range(times):
            asyncio.run(self.scaler.look(self.clock.mono))
            self.clock.advance(self.scaler.rules.interval)
        return self.scaler.outcome.held if self.scaler.outcome is not None else ""


def test_a_busy_replica_gets_company_and_the_step_is_remembered(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.look() == ""
    assert rig.operations.begun == ["add a replica of shard 0"]
    assert rig.control.told == ["AutoscalerStep"]
    remembered = rig.file.load()
    assert remembered.steps[0].operation == "operation-1"
    assert "CPU of replicas 95% is above 80%" in remembered.steps[0].reasons[0]
    assert dict(remembered.numbers) == {"-1": 1, "0": 1}


def test_nothing_is_begun_in_other_modes_or_while_something_else_is_going_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, autoscale="recommend")
    assert rig.look() == "mode recommend: nothing is applied"
    asyncio.run(rig.scaler.configure("on", {}, frozenset()))
    rig.operations.way = "operation 7 (rebalance) is paused"
    assert rig.look() == "operation 7 (rebalance) is paused"
    rig.operations.way = ""
    rig.control.states[""] = MemberState.FAILED
    assert rig.look().startswith("shard-0-primary is failed: nothing is begun")
    rig.control.states[""] = MemberState.HEALTHY
    rig.operations.refusal = "somebody was quicker"
    assert rig.look() == "somebody was quicker"
    assert rig.operations.begun == []
    asyncio.run(rig.scaler.configure("off", {}, frozenset()))
    rig.look()
    assert rig.scaler.outcome is None
    rig.operations.refusal = ""
    asyncio.run(rig.scaler.configure("on", {}, frozenset()))
    assert rig.look() == "" and len(rig.operations.begun) == 1


def test_mode_and_settings_outlive_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path, autoscale="recommend")
    asyncio.run(rig.scaler.configure("on", {"replicas.limits.most": "1", "interval": "3"}, frozenset()))
    again = Rig(tmp_path, autoscale="recommend")
    assert (again.scaler.rules.mode, again.scaler.rules.interval) == (Mode.ON, 3.0)
    assert again.look() == "" and again.operations.begun == [], "one is the limit"
    asyncio.run(again.scaler.configure("", {}, frozenset(["replicas.limits.most"])))
    assert again.look() == "" and again.operations.begun == ["add a replica of shard 0"]
    for mode, settings, unset in (
        ("sometimes", {}, ()),
        ("", {"nothing": "1"}, ()),
        ("", {}, ("interval.x",)),
        ("", {"interval": "-1"}, ()),
    ):
        with pytest.raises(errors.InvalidArgument):
            asyncio.run(again.scaler.configure(mode, settings, frozenset(unset)))
    assert again.file.load().settings == {"interval": "3"}


def test_without_a_provisioner_it_can_only_recommend(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    scaler = Autoscaler(cast(Any, rig.control), cast(Any, rig.samples), rig.file, None)
    assert scaler.rules.mode is Mode.RECOMMEND
    with pytest.raises(errors.InvalidArgument, match="can only recommend"):
        asyncio.run(scaler.configure("on", {}, frozenset()))


def test_a_restart_forgets_no_cooldown_and_shrinks_nothing_for_a_window(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.look()
    rig.samples.replicas = 2
    rig.look()
    assert [(one.subject, one.before, one.after) for one in rig.scaler.memory.changes] == [(0, 1, 2)]
    rig.clock.advance(5)
    again = Rig(tmp_path, rig.clock)
    again.samples.replicas, again.samples.cpu = 2, 0.95
    again.look()
    assert again.operations.begun == [], "it grew 20 s ago: the next step up waits 30 s"
    again.samples.cpu = 0.05
    interval, window = again.scaler.rules.interval, again.scaler.rules.replicas.limits.window
    again.look(int(window / interval) - 2)
    assert again.operations.begun == []
    again.look(4)
    assert again.operations.begun[0] == "remove a replica of shard 0"


def test_what_changed_while_nobody_looked_is_a_change_of_now(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.samples.cpu = 0.5
    rig.look()
    rig.clock.advance(10_000)
    again = Rig(tmp_path, rig.clock)
    again.samples.replicas = 3
    again.look()
    assert again.operations.begun == []
    assert [(one.before, one.after) for one in again.scaler.history.changes] == [(1, 3)]
    assert again.scaler.history.changes[0].at == again.clock.mono - again.scaler.rules.interval


def test_what_cannot_be_remembered_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path)

    def full(self: MemoryFile, memory: Memory) -> None:
        raise StoreError("cannot write: no space")

    monkeypatch.setattr(MemoryFile, "save", full)
    rig.look()
    assert rig.operations.begun == [] and rig.scaler.outcome is None
    monkeypatch.undo()
    rig.look()
    assert len(rig.operations.begun) == 1


def test_a_damaged_memory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    memory = Memory("on", {"interval": "3"}, {"-1": 2}, (Changed(1, 0, 1, 2),), (Begun(1, "a", "b", ("c",)),))
    content = encode(memory)
    assert decode(content) == memory
    (tmp_path / "autoscaler.json").write_bytes(content.replace(b'"on"', b'"off"'))
    with pytest.raises(StoreError, match="its checksum differs; remove it to begin"):
        MemoryFile(tmp_path).load()
    (tmp_path / "autoscaler.json").write_bytes(b"{")
    with pytest.raises(StoreError, match="damaged"):
        MemoryFile(tmp_path).load()


def test_what_is_configured_while_something_else_is_remembered_is_kept(tmp_path: Path) -> None:
    rig = Rig(tmp_path, autoscale="recommend")
    saves: list[str] = []

    class Slow(MemoryFile):
        """Gives others their turn in the middle."""

        def save(self, memory: Memory) -> None:
            saves.append("begins")
            turn.acquire(timeout=0.2)
            super().save(memory)
            saves.append("ends")

    turn = threading.Semaphore(0)
    rig.scaler._keeper = Slow(tmp_path)

    async def together() -> None:
        await asyncio.gather(
            rig.scaler.look(rig.clock.mono),
            rig.scaler.configure("on", {}, frozenset()),
            rig.scaler.configure("", {"replicas.cpu.high": "0.9"}, frozenset()),
        )

    asyncio.run(together())
    remembered = rig.file.load()
    assert (remembered.mode, remembered.settings) == ("on", {"replicas.cpu.high": "0.9"})
    assert dict(remembered.numbers) == {"-1": 1, "0": 1}
    assert saves == ["begins", "ends"] * (len(saves) // 2), "one after the other"
