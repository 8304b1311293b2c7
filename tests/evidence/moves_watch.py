"""Who looks on while slots move: scans, and reads that ask both shards themselves."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

import aidb
from aidb.client import Client
from aidb.interface import Durability
from aidb.slots import slot_of
from aidb.v1 import common_pb2 as common
from aidb.v1 import storage_pb2 as storage
from tests.moves.cluster import Cluster
from tests.moves.writers import Writers, state_of
from tests.node.process import refusal
from tests.threads import Threads

_PAUSE = 0.02
_TIMEOUT = 3.0


class Scanner(Threads):
    """A context manager: scans all keys again and again (M11), `every` so many seconds. Whatever moves, each
    scan has all of `still`, and none of `gone`.
    """

    def __init__(
        self, address: str, still: dict[bytes, bytes], gone: list[bytes], every: float = 0.1
    ) -> None:
        super().__init__()
        self._every = every
        self._address = address
        self._still = still
        self._gone = set(gone)
        self._threads = [threading.Thread(target=self._run, name="scanner")]
        self.scans = 0
        self.errors = 0
        self.wrong: list[str] = []

    def _run(self) -> None:
        with aidb.connect(self._address, timeout=20) as client:
            while not self._stop.wait(self._every):
                try:
                    found = {entry.key: entry.value for entry in client.scan()}
                except aidb.AidbError:
                    self.errors += 1
                    continue
                self.scans += 1
                missing = [key for key, value in self._still.items() if found.get(key) != value]
                back = self._gone & found.keys()
                if missing or back:
                    self.wrong.append(f"a scan lacks {missing[:3]} and shows {sorted(back)[:3]}")


class OnceWriter(Threads):
    """A context manager: puts keys that nobody writes again, in the slots of `tags` one after the other. What
    writers of ever higher numbers would cover up shows here: each acknowledged key has to be there.
    """

    def __init__(self, address: str, tags: Sequence[bytes], durability: Durability | None) -> None:
        super().__init__()
        self._address = address
        self._tags = tags
        self._durability = durability
        self._threads = [threading.Thread(target=self._run, name="once")]
        self.acknowledged: list[bytes] = []

    def _run(self) -> None:
        number = 0
        with aidb.connect(self._address, timeout=10) as client:
            while not self._stop.is_set():
                key = b"%s:once-%d" % (self._tags[number % len(self._tags)], number)
                number += 1
                try:
                    client.put(key, b"v", durability=self._durability)
                except aidb.AidbError:
                    continue
                self.acknowledged.append(key)

    def problems(self, client: Client) -> Iterator[str]:
        """When it has ended; its keys are deleted then."""
        if not self.acknowledged:
            return
        found = client.get_many(self.acknowledged, consistency="strong")
        for key, value in zip(self.acknowledged, found, strict=True):
            if value != b"v":
                yield f"{key!r} was acknowledged, and is lost"
        client.delete_many(self.acknowledged)


@dataclass(frozen=True, slots=True)
class Served:
    """A strong read that a shard answered. In monotonic seconds."""

    shard: int
    slot: int
    sent: float
    answered: float


class Observer(Threads):
    """A context manager: strong reads of the keys that `writers` write, sent straight to both shards, as by a
    client that knows no topology. Nobody may answer with less than what was acknowledged when it was asked;
    and once the target of a move has answered, its source answers no more (one owner at every time).
    """

    def __init__(self, cluster: Cluster, writers: Writers, keys: Sequence[bytes], rng: random.Random) -> None:
        super().__init__()
        self._cluster = cluster
        self._writers = writers
        self._keys = keys
        self._rng = rng
        self._threads = [threading.Thread(target=self._run, name="observer")]
        self.owners = cluster.owners()
        self.served: list[Served] = []
        self.refused = 0
        self.stale: list[str] = []

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE):
            key = self._rng.choice(self._keys)
            for shard in self._rng.sample((0, 1), 2):
                self._look(shard, key)

    def _look(self, shard: int, key: bytes) -> None:
        least = self._writers.acknowledged[key]
        sent = time.monotonic()
        request = storage.GetRequest(
            header=common.RequestHeader(consistency=common.CONSISTENCY_STRONG), key=key
        )
        try:
            answer = self._cluster.nodes[shard].storage.Get(request, timeout=_TIMEOUT)
        except (grpc.RpcError, ValueError):  # ValueError: grpc's for a channel that was closed
            self.refused += 1
            return
        answered = time.monotonic()
        found = answer.value if answer.found else None
        allowed = range(least, self._writers.written[key] + 1)
        if found not in map(state_of, allowed):
            self.stale.append(f"shard {shard} shows {found!r} of {key!r}, acknowledged {least}")
        self.served.append(Served(shard, slot_of(key), sent, answered))

    def problems(self) -> Iterator[str]:
        """When it has ended. Slots move once in its time, at most."""
        yield from self.stale
        by_slot = defaultdict(list)
        for one in self.served:
            by_slot[one.slot].append(one)
        for slot, all_of_it in by_slot.items():
            owner = self.owners[slot]
            others = [one.answered for one in all_of_it if one.shard != owner]
            if others and any(one.shard == owner and one.sent > min(others) for one in all_of_it):
                yield f"slot {slot}: shard {owner} answers after shard {1 - owner} has"


def owners_agree(cluster: Cluster, keys: list[bytes], slots: list[int]) -> Iterator[str]:
    """Each slot is served by its owner, and by nobody else."""
    owners = cluster.owners()
    by_slot = dict(zip(slots, keys, strict=True))
    for slot, key in by_slot.items():
        for shard, node in enumerate(cluster.nodes):
            request = storage.GetRequest(
                header=common.RequestHeader(
                    consistency=common.CONSISTENCY_STRONG,
                    topology_version=cluster.coordinator.topology().version,
                ),
                key=key,
            )
            try:
                node.storage.Get(request, timeout=10)
                answered = True
            except grpc.RpcError as failed:
                answered = False
                why = refusal(_raising(failed))
                if why.code != common.MOVED:
                    yield f"slot {slot}: shard {shard} says {why.code} {why.message}"
            if answered != (owners[slot] == shard):
                yield f"slot {slot} of shard {owners[slot]}: shard {shard} answers: {answered}"


def _raising(error: grpc.RpcError) -> Any:
    def call() -> None:
        raise error

    return call
