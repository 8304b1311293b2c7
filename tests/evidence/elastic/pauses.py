"""How long a key pauses while its slot moves: of each move one of its keys and a control key, which stays on
the same primary, are written every few milliseconds, as long as the move goes on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

import grpc

import aidb
import aidb.aio
from aidb.aio.client import AsyncClient
from aidb.slots import SLOT_COUNT
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from tests.evidence.elastic.book import Book
from tests.evidence.elastic.load import TIMEOUT, Told, write
from tests.moves.cluster import keys_in

EVERY = 0.02
_LOOK = 0.1
# After the commit: the client has to learn the route.
_AFTER = 0.5
_MOST_AT_ONCE = 2
_SIZE = 100
_UNDER_WAY = ("prepared", "fenced")


@dataclass(frozen=True)
class Pause:
    """Of one attempt of a move, in seconds: the slowest write of its key and of the control key."""

    move: str
    moved: float
    control: float

    @property
    def beyond(self) -> float:
        return max(0.0, self.moved - self.control)


@dataclass
class Found:
    pauses: list[Pause] = field(default_factory=list)
    told: Told = field(default_factory=Told)


class Prober:
    def __init__(self, client: AsyncClient, discovery: rpc.DiscoveryAsyncStub, rng: random.Random) -> None:
        self._client = client
        self._discovery = discovery
        self._rng = rng
        # One key in each slot: (slot, key) by slot.
        self._keys = {aidb.slots.slot_of(key): key for key in keys_in(range(SLOT_COUNT), 1, "p")}
        self._busy: set[bytes] = set()
        self._seen: set[tuple[str, int]] = set()
        self._topology = pb.Topology()
        self.book = Book(_SIZE)
        self.found = Found()

    async def run(self, stop: Event) -> None:
        probes: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            await self._look()
            for move in self._topology.moves:
                known = (move.id, move.attempt)
                if move.step in _UNDER_WAY and known not in self._seen and len(probes) < _MOST_AT_ONCE:
                    self._seen.add(known)
                    task = asyncio.create_task(self._probe(move))
                    probes.add(task)
                    task.add_done_callback(probes.discard)
            await asyncio.sleep(_LOOK)
        for task in probes:
            task.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def _look(self) -> None:
        """The newest topology; the one before if nobody answers."""
        try:
            view: pb.ClusterView = await self._discovery.GetTopology(pb.GetTopologyRequest(), timeout=2)
        except grpc.RpcError:
            return
        if view.topology.version > self._topology.version:
            self._topology = view.topology

    async def _probe(self, move: pb.Move) -> None:
        key, control = self._choose(move)
        slowest = dict.fromkeys((key, *control), 0.0)
        writes: set[asyncio.Task[None]] = set()
        ends = time.monotonic() + _AFTER
        try:
            while time.monotonic() < ends:
                if self._goes_on(move):
                    ends = time.monotonic() + _AFTER
                for one in slowest.keys() - self._busy:
                    self._busy.add(one)
                    task = asyncio.create_task(self._write(one, slowest))
                    writes.add(task)
                    task.add_done_callback(writes.discard)
                await asyncio.sleep(EVERY)
        finally:
            await asyncio.gather(*writes)
        beside = max((slowest[one] for one in control), default=0.0)
        self.found.pauses.append(Pause(move.id, slowest[key], beside))

    async def _write(self, key: bytes, slowest: dict[bytes, float]) -> None:
        began = time.monotonic()
        await write(self._client, self.book, key, self.found.told)
        slowest[key] = max(slowest[key], time.monotonic() - began)
        self._busy.discard(key)

    def _goes_on(self, move: pb.Move) -> bool:
        return any(
            (one.id, one.attempt) == (move.id, move.attempt) and one.step in _UNDER_WAY
            for one in self._topology.moves
        )

    def _choose(self, move: pb.Move) -> tuple[bytes, list[bytes]]:
        """A key that moves, and one that stays at the source; if all of its slots go, at the target. None
        when the target has none yet.
        """
        moving = {slot for one in self._topology.moves for slot in _slots(one.slots)}
        table = self._topology.slot_owners
        owners = [int.from_bytes(table[at : at + 2], "big") for at in range(0, len(table), 2)]
        mine = self._rng.choice(list(_slots(move.slots)))
        for shard in (move.source, move.target):
            still = [slot for slot in range(SLOT_COUNT) if owners[slot] == shard and slot not in moving]
            if still:
                return self._keys[mine], [self._keys[self._rng.choice(still)]]
        return self._keys[mine], []


def _slots(spans: Iterable[pb.SlotSpanRef]) -> Iterable[int]:
    return (slot for span in spans for slot in range(span.first, span.last + 1))


def run(address: str, seed: int, stop: Event, output: Connection) -> None:
    """A lane: sends what it found after ``stop``."""
    asyncio.run(_run(address, seed, stop, output))


async def _run(address: str, seed: int, stop: Event, output: Connection) -> None:
    async with (
        aidb.aio.connect(address, timeout=TIMEOUT) as client,
        grpc.aio.insecure_channel(address) as channel,
    ):
        discovery: rpc.DiscoveryAsyncStub = rpc.DiscoveryStub(channel)
        prober = Prober(client, discovery, random.Random(seed))
        await prober.run(stop)
        keys = prober.book.keys
        values = await client.get_many(keys, consistency="strong", timeout=60)
    for problem in prober.book.problems(dict(zip(keys, values, strict=True))):
        prober.found.told.found_wrong(f"in the end {problem}")
    prober.found.told.acknowledged, prober.found.told.keys = prober.book.count, len(keys)
    output.send(prober.found)
