"""An import against a source in memory: whatever is written and when, the target ends with the same."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

import pytest
from aidb_node.moves.document import Attempt, Span, Wanted
from aidb_node.moves.importing import Import, Said
from aidb_node.moves.pacing import Pace

from aidb.errors import DiskFull, Stalled
from aidb.v1 import moving_pb2 as moving

SPANS = ((5, 9), (20, 20))
# key, version; the version is the position in the log; 0 deletes.
Op = tuple[bytes, int, bool]


def encode(ops: list[Op]) -> bytes:
    return repr(ops).encode()


class Over(Exception):
    """Of the test: the coordinator has committed."""


@dataclass
class FakeSource:
    """Between two calls somebody writes. Its tail comes in small parts."""

    rng: random.Random
    log: list[Op] = field(default_factory=list)
    fenced: bool = False
    writes: int = 0
    pinned: list[Op] = field(default_factory=list)
    compared: int = 0
    wrong_sum: bool = False

    def _write(self) -> None:
        while not self.fenced and self.writes > 0 and self.rng.random() < 0.7:
            self.writes -= 1
            version = len(self.log) + 1
            self.log.append((b"k%d" % self.rng.randrange(12), version, self.rng.random() < 0.3))

    def state(self, through: int) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for key, version, deleted in self.log[:through]:
            if deleted:
                found.pop(key, None)
            else:
                found[key] = version
        return found

    def pin(self, version: int, *, verify: bool) -> moving.PinSlotsResponse:
        self._write()
        if verify:
            self.compared = len(self.log)
        else:
            self.pinned = [(key, at, False) for key, at in sorted(self.state(len(self.log)).items())]
        return moving.PinSlotsResponse(lsn=len(self.log), clock_ms=1000, bytes=100)

    def copy(self, version: int, after_key: bytes) -> moving.CopySlotsResponse:
        self._write()
        rest = [op for op in self.pinned if op[0] > after_key]
        chunk, more = rest[:3], len(rest) > 3
        record = encode(chunk) if chunk else b""
        return moving.CopySlotsResponse(record=record, last_key=chunk[-1][0] if more else b"")

    def tail(self, version: int, after_lsn: int, through_lsn: int, wait_ms: int) -> moving.TailSlotsResponse:
        end = min(len(self.log), after_lsn + 5, through_lsn or len(self.log))
        ops = self.log[after_lsn:end]
        answer = moving.TailSlotsResponse(
            record=encode(ops) if ops else b"",
            last_lsn=end,
            synced_lsn=len(self.log),
            clock_ms=2000,
            behind_ms=10 * (len(self.log) - after_lsn),
            final_lsn=len(self.log) if self.fenced else 0,
        )
        self._write()
        return answer

    def digest(self, version: int, lsn: int, live_after_ms: int) -> moving.DigestSlotsResponse:
        assert lsn == self.compared
        self._write()
        entries, total = digest(self.state(lsn))
        return moving.DigestSlotsResponse(entries=entries, sum=total + self.wrong_sum)


def digest(state: dict[bytes, int]) -> tuple[int, int]:
    return len(state), sum(version * (1 + key[1]) for key, version in state.items())


@dataclass
class FakeTarget:
    """A store that stalls now and then."""

    rng: random.Random
    state: dict[bytes, int] = field(default_factory=lambda: {b"left over": 1})
    gained: tuple[int, int] | None = None
    archive_asked: int = 0
    full: bool = False

    def _stall(self) -> None:
        if self.full:
            raise DiskFull("no space left")
        if self.rng.random() < 0.1:
            raise Stalled("later")

    def wipe_slots(self, spans: list[Span]) -> int:
        self._stall()
        self.state.clear()
        return 1

    def import_record(self, record: bytes, checksum: int) -> int:
        self._stall()
        ops: list[Op] = eval(record)  # noqa: S307  # written by `encode`
        for key, version, deleted in ops:
            if deleted:
                self.state.pop(key, None)
            else:
                self.state[key] = version
        return len(ops)

    def gain_slots(self, spans: list[Span], least_lsn: int, least_clock_ms: int) -> int:
        self._stall()
        self.gained = least_lsn, least_clock_ms
        return least_lsn + 100

    def pin_slots(self, spans: list[Span]) -> FakePinned:
        return FakePinned(dict(self.state))

    def log_position(self) -> tuple[int, int, int]:
        return 0, 0, 500

    def await_archived(self, lsn: int, timeout: float) -> bool:
        self.archive_asked += 1
        # The store is slow at first: before the fence, and after it.
        return self.archive_asked not in (1, 2, 4)


@dataclass
class FakePinned:
    state: dict[bytes, int]

    def digest(self, live_after_ms: int) -> tuple[int, int]:
        assert live_after_ms == 1000, "by the later of both clocks"
        return digest(self.state)


def run(source: FakeSource, target: FakeTarget) -> list[Said]:
    told: list[Said] = []

    def say(said: Said) -> None:
        told.append(said)
        # The coordinator fences at the first chance.
        source.fenced = source.fenced or said.ready

    wanted = Wanted(Attempt("m", 1), SPANS, "source:1", False)
    Import(target, source, wanted, 1, Pace(0), say, threading.Event()).run()
    return told


@pytest.mark.parametrize("seed", range(40))
def test_the_target_ends_with_what_the_source_had_at_the_fence(seed: int) -> None:
    rng = random.Random(seed)
    source, target = FakeSource(rng, writes=rng.randrange(200)), FakeTarget(rng)
    for _ in range(rng.randrange(30)):
        source.log.append((b"k%d" % rng.randrange(12), len(source.log) + 1, False))
    told = run(source, target)
    last = told[-1]
    assert last.progress.step == "drained", last
    assert target.state == source.state(len(source.log))
    assert (last.final_lsn, last.since_lsn) == (len(source.log), len(source.log) + 101)
    assert target.gained == (len(source.log) + 1, 2000)
    assert target.archive_asked == 5, "not before the archive has it (M7)"
    assert [said.ready for said in told].count(True) >= 1
    assert not any(said.since_lsn for said in told[:-1])


def test_sides_that_differ_end_the_attempt_before_the_fence() -> None:
    rng = random.Random(1)
    source = FakeSource(rng, writes=20, wrong_sum=True)
    told = run(source, FakeTarget(rng))
    assert "they differ" in told[-1].failed
    assert not source.fenced


def test_a_full_disk_ends_the_attempt() -> None:
    rng = random.Random(1)
    told = run(FakeSource(rng, writes=20), FakeTarget(rng, full=True))
    assert "no space left" in told[-1].failed


def test_the_pace_bounds_the_bytes_a_second() -> None:
    now = 100.0
    pace = Pace(1000, lambda: now)
    assert pace.due(100) == pytest.approx(0.0), "a burst of a tenth of a second"
    waited = sum(pace.due(100) for _ in range(10))
    assert waited == pytest.approx(sum(0.1 * n for n in range(1, 11)))
    assert Pace(0).due(1 << 40) == 0.0
