"""Two shards with a coordinator as bare processes, and what is asked of them about moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import grpc
from aidb_coordinator.topology import unpack_owners

from aidb.slots import slot_of
from aidb.v1 import cluster_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess

LEASE_MS = 2000


class Cluster:
    """A context manager. ``objects``: with a second copy."""

    def __init__(self, root: Path, *options: str, objects: bool = True, shards: int = 2) -> None:
        self._root = root
        self._objects = ("--objects", f"file://{root}/objects") if objects else ()
        self._options = options
        self._shards = shards
        self._incarnations = [1] * shards
        self.nodes: list[NodeProcess] = []

    def __enter__(self) -> Self:
        self.coordinator = self._start_coordinator("127.0.0.1:0")
        try:
            self.nodes = [self._start(shard) for shard in range(self._shards)]
            self.wait_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        if self.coordinator.process.poll() is None:
            self.coordinator.kill()

    @property
    def address(self) -> str:
        return self.coordinator.address

    def data(self, shard: int) -> Path:
        """Of the primary that serves it."""
        number = self._incarnations[shard]
        return self._root / (f"shard-{shard}" if number == 1 else f"shard-{shard}.{number}")

    def log(self, shard: int) -> str:
        """Of all its primaries."""
        logs = sorted(self._root.glob(f"shard-{shard}*.log"))
        return "".join(log.read_text() for log in logs)

    def restart(self, shard: int) -> None:
        """In place, after a kill."""
        self.nodes[shard] = self._start(shard, self.nodes[shard].address)

    def restart_coordinator(self) -> None:
        """After a kill."""
        self.coordinator = self._start_coordinator(self.address)

    def succeed(self, shard: int, *, planned: bool) -> None:
        """The next incarnation takes the shard over. The directory of the one before is lost."""
        old, kept = self.nodes[shard], self.data(shard)
        self._incarnations[shard] = until(lambda: self._want(shard, planned))
        self.nodes[shard] = self._start(shard)
        if old.process.poll() is None:
            old.kill()
        shutil.rmtree(kept)

    def _want(self, shard: int, planned: bool) -> int:
        """0: not yet, the coordinator has to see first how the primary is."""
        request = pb.WantSuccessorRequest(shard=shard, planned=planned, reason="test")
        try:
            answer: pb.WantSuccessorResponse = self.coordinator.coordination.WantSuccessor(
                request, timeout=10
            )
        except grpc.RpcError:
            return 0
        return answer.incarnation

    def _start(self, shard: int, listen: str = "127.0.0.1:0") -> NodeProcess:
        number = self._incarnations[shard]
        every = ("--archive-every", "0.2") if self._objects else ()
        options = (
            *self._objects,
            *every,
            "--grace-seconds",
            "1",
            "--incarnation",
            str(number),
            *self._options,
        )
        name = f"shard-{shard}-primary" + ("" if number == 1 else f"-{number}")
        return self._node(shard, name, listen, options).ready()

    def _node(self, shard: int, name: str, listen: str, options: Iterable[str]) -> NodeProcess:
        return NodeProcess(self.address, self.data(shard), *options, shard=shard, listen=listen, name=name)

    def _start_coordinator(self, listen: str) -> CoordinatorProcess:
        return CoordinatorProcess(
            self._root / "coordinator",
            *("--shards", str(self._shards), "--lease-ms", str(LEASE_MS), *FAST, *self._objects),
            *("--takeover", "off", "--same-machine"),
            listen=listen,
            log=self._root / "coordinator.log",
        )

    def wait_healthy(self) -> None:
        def healthy(shard: pb.Shard) -> bool:
            name = shard.primary.name
            return bool(name) and self.coordinator.member_state(name) == pb.MEMBER_HEALTHY

        until(lambda: all(map(healthy, self.coordinator.topology().shards)))

    def owners(self) -> list[int]:
        return unpack_owners(self.coordinator.topology().slot_owners)

    def slots_of(self, shard: int) -> list[int]:
        return [slot for slot, owner in enumerate(self.owners()) if owner == shard]

    def move(self, slots: Iterable[int], source: int, target: int, move_id: str = "") -> pb.Move:
        request = pb.MoveSlotsRequest(
            slots=[pb.SlotSpanRef(first=slot, last=slot) for slot in slots],
            source=source,
            target=target,
            id=move_id,
        )
        answer: pb.MoveSlotsResponse = self.coordinator.coordination.MoveSlots(request, timeout=10)
        return answer.move

    def status(self, move_id: str) -> pb.MoveStatus | None:
        try:
            answer: pb.ListMovesResponse = self.coordinator.coordination.ListMoves(
                pb.ListMovesRequest(), timeout=10
            )
        except grpc.RpcError:
            return None
        return next((one for one in answer.moves if one.move.id == move_id), None)

    def step(self, move_id: str) -> str:
        status = self.status(move_id)
        return "" if status is None else status.move.step

    def wait_ended(self, move_id: str, seconds: float = 30.0) -> pb.Move:
        until(lambda: self.step(move_id) in ("committed", "cancelled", "failed"), seconds)
        status = self.status(move_id)
        assert status is not None
        return status.move

    def wait_committed(self, move_id: str) -> pb.Move:
        move = self.wait_ended(move_id)
        assert move.step == "committed", move
        return move


def keys_in(slots: Iterable[int], count: int, name: str = "k") -> list[bytes]:
    """Keys, `count` in each of the slots, by hash tags."""
    wanted = set(slots)
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < len(wanted):
        tag = f"{name}{number}"
        slot = slot_of(tag.encode())
        if slot in wanted:
            tags.setdefault(slot, tag)
        number += 1
    return [f"{{{tag}}}:{index}".encode() for tag in tags.values() for index in range(count)]
