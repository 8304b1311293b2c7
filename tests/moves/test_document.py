"""What a node reads in the topology about its moves, and what it does by that."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from aidb_coordinator.topology import pack_owners
from aidb_node.logs import Log
from aidb_node.moves.calls import Coordinator, RemoteSource
from aidb_node.moves.document import Attempt, Span, foreign_slots, serves, wanted_imports
from aidb_node.moves.horizon import Horizon
from aidb_node.moves.mover import Mover
from aidb_node.moves.pacing import Pace

from aidb.errors import InvalidArgument
from aidb.slots import SLOT_COUNT
from aidb.v1 import cluster_pb2 as pb

HALF = SLOT_COUNT // 2


def topology(version: int = 5, owners: list[int] | None = None, *moves: pb.Move) -> pb.Topology:
    """Shard 0 in epoch 3 and shard 1 in epoch 5; each has half of the slots."""
    return pb.Topology(
        version=version,
        slot_owners=pack_owners(owners or [0] * HALF + [1] * HALF),
        shards=[
            pb.Shard(id=0, epoch=3, primary=pb.Member(address="a:1")),
            pb.Shard(id=1, epoch=5, primary=pb.Member(address="b:1")),
        ],
        moves=moves,
    )


def move(step: str, source: int = 0, target: int = 1, first: int = 10, last: int = 12) -> pb.Move:
    return pb.Move(
        id="m",
        attempt=2,
        slots=[pb.SlotSpanRef(first=first, last=last)],
        source=source,
        source_epoch=3,
        target=target,
        target_epoch=5,
        step=step,
    )


def test_an_import_is_wanted_of_the_targets_epoch_while_the_move_is_under_way() -> None:
    for step, fenced in (("prepared", False), ("fenced", True)):
        (wanted,) = wanted_imports(topology(5, None, move(step)), 1, 5)
        assert (wanted.attempt, wanted.spans, wanted.source) == (Attempt("m", 2), ((10, 12),), "a:1")
        assert wanted.fenced is fenced
    for step in ("waiting", "committed", "cancelled", "failed"):
        assert wanted_imports(topology(5, None, move(step)), 1, 5) == []
    assert wanted_imports(topology(5, None, move("prepared")), 1, 6) == [], "another epoch"
    assert wanted_imports(topology(5, None, move("prepared")), 0, 3) == [], "the source imports nothing"


def test_what_may_go_is_others_and_on_no_way_here() -> None:
    assert foreign_slots(topology(), 1) == [(0, HALF - 1)]
    assert foreign_slots(topology(5, None, move("fenced")), 1) == [(0, 9), (13, HALF - 1)]
    assert foreign_slots(topology(5, None, move("waiting")), 1) == [(0, HALF - 1)], "aborted"
    assert foreign_slots(topology(5, None, move("fenced")), 0) == [(HALF, SLOT_COUNT - 1)]
    moved = [0] * HALF + [1] * HALF
    moved[10:13] = [1, 1, 1]
    assert foreign_slots(topology(6, moved), 0) == [(10, 12), (HALF, SLOT_COUNT - 1)]
    nobody = [0xFFFF] * SLOT_COUNT
    assert foreign_slots(topology(6, nobody), 0) == [], "what nobody has was never given away"


def test_a_primary_serves_by_its_published_epoch() -> None:
    assert serves(topology(), 1, 5)
    assert not serves(topology(), 1, 4)
    taken = topology()
    taken.shards[1].successor.epoch = 6
    assert not serves(taken, 1, 5)
    assert not serves(topology(), 9, 1)


class FakePrimary:
    """Shard 1's. `slots`: what it holds, by ranges."""

    def __init__(self, slots: list[Span]) -> None:
        self.slots = slots
        self.wiped: list[Span] = []
        self.refuses = False
        self.topologies: list[pb.Topology] = []
        self.looked = threading.Semaphore(0)

    def topology_after(self, version: int, timeout: float) -> bytes | None:
        self.looked.release()
        if self.topologies:
            return self.topologies.pop(0).SerializeToString()
        threading.Event().wait(0.01)
        return None

    def occupied_slots(self, spans: list[Span]) -> list[Span]:
        return [span for span in spans if any(a <= span[1] and span[0] <= b for a, b in self.slots)]

    def wipe_slots(self, spans: list[Span]) -> int:
        if self.refuses:
            raise InvalidArgument("served")
        self.wiped += spans
        self.slots = []
        return 1

    def look(self, times: int = 3) -> None:
        """Waits until it was looked so often."""
        while self.looked.acquire(blocking=False):
            pass
        for _ in range(times):
            assert self.looked.acquire(timeout=10)

    def refresh(self, version: int, timeout: float) -> bool:
        return True

    def import_record(self, record: bytes, checksum: int) -> int:
        raise AssertionError

    def gain_slots(self, spans: list[Span], least_lsn: int, least_clock_ms: int) -> int:
        raise AssertionError

    def pin_slots(self, spans: list[Span]):  # type: ignore[no-untyped-def]
        raise AssertionError

    def log_position(self) -> tuple[int, int, int]:
        return 0, 0, 0

    def await_archived(self, lsn: int, timeout: float) -> bool:
        return True


class NoCoordinator(Coordinator):
    def __init__(self) -> None:
        pass

    def close(self) -> None:
        pass


def no_source(address: str, attempt: Attempt, over: threading.Event) -> RemoteSource:
    raise AssertionError("nothing is imported")


def mover(primary: FakePrimary, directory: Path) -> Mover:
    return Mover(primary, 1, NoCoordinator(), no_source, Pace(0), Horizon(directory), Log())


def test_slots_of_others_go_and_what_is_refused_is_tried_again(tmp_path: Path) -> None:
    primary = FakePrimary([(3, 3), (HALF, HALF)])
    primary.refuses = True
    made = mover(primary, tmp_path)
    primary.topologies.append(topology())
    made.begin(5)
    primary.look()
    assert primary.wiped == []
    primary.refuses = False
    primary.look()
    made.close()
    assert primary.wiped == [(0, HALF - 1)]
    assert Horizon(tmp_path).version == 5


def test_an_older_topology_than_one_obeyed_has_nothing_deleted(tmp_path: Path) -> None:
    Horizon(tmp_path).raise_to(9)
    primary = FakePrimary([(3, 3)])
    made = mover(primary, tmp_path)
    primary.topologies.append(topology(8))
    made.begin(5)
    primary.look()
    assert primary.wiped == []
    primary.topologies.append(topology(9))
    primary.look()
    made.close()
    assert primary.wiped == [(0, HALF - 1)]


def test_the_horizon_only_rises(tmp_path: Path) -> None:
    horizon = Horizon(tmp_path)
    assert horizon.version == 0
    horizon.raise_to(7)
    horizon.raise_to(6)
    assert Horizon(tmp_path).version == 7
    (tmp_path / "topology-obeyed").write_text("x")
    with pytest.raises(ValueError, match="x"):
        Horizon(tmp_path)
