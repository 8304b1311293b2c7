"""The cluster of `evidence-moves`: two shards, each on a small disk, and between the programs what holds,
cuts, loses and repeats what they say.

Each primary advertises a proxy. Clients are led through it to the primary, other primaries (which ask for
nothing but slots that move) to a meddler before it; the nodes' way to the coordinator has both as well.
"""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from aidb.local.ports import free_ports
from tests.evidence.meddler import Meddler
from tests.evidence.peers import connected_from
from tests.evidence.proxy import Proxy
from tests.evidence.small_disk import SmallDisk
from tests.moves.cluster import Cluster
from tests.node.process import NodeProcess

CLIENT = "client"
DISK_BYTES = 192 << 20


class Way:
    """A context manager: to the program that listens on `port`. `owner` as of `Proxy`."""

    def __init__(self, port: int, names: Names, rng: random.Random) -> None:
        self.port = port
        self.meddler = Meddler(port, random.Random(rng.random()))
        self.proxy = Proxy(self._target, names.owner, random.Random(rng.random()))

    def __enter__(self) -> Self:
        self.meddler.__enter__()
        self.proxy.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.proxy.__exit__()
        self.meddler.__exit__()

    def _target(self, owner: str) -> int:
        return self.port if owner == CLIENT else self.meddler.port


class Names:
    """Which shard's primary it is that connects."""

    def __init__(self) -> None:
        self._processes: list[tuple[subprocess.Popen[str], str]] = []
        self._lock = threading.Lock()

    def add(self, process: subprocess.Popen[str], shard: int) -> None:
        with self._lock:
            self._processes = [known for known in self._processes if known[0].returncode is None]
            self._processes.append((process, name_of(shard)))

    def owner(self, port: int, to_port: int) -> str:
        with self._lock:
            names = {process.pid: name for process, name in self._processes}
        return names.get(connected_from(names, port, to_port), CLIENT)


def name_of(shard: int) -> str:
    return f"shard-{shard}"


class FaultyCluster(Cluster):
    """A context manager. `environment`: of the nodes."""

    def __init__(
        self, root: Path, rng: random.Random, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(root, *options)
        self._rng = rng
        self._environment = environment
        self._stack = ExitStack()
        self._names = Names()
        self._ways: dict[tuple[int, int], Way] = {}
        self._closed: Counter[str] = Counter()
        self.disks: list[SmallDisk] = []
        self.to_coordinator: Way | None = None

    def __enter__(self) -> Self:
        try:
            for shard in range(self._shards):
                disk = SmallDisk(self._root / f"disk-{shard}", DISK_BYTES)
                self.disks.append(self._stack.enter_context(disk))
            return super().__enter__()
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *exc: object) -> None:
        super().__exit__()
        for way in self._ways.values():
            way.__exit__()
        self._ways.clear()
        self._stack.close()

    def data(self, shard: int) -> Path:
        return self._root / f"disk-{shard}" / f"incarnation-{self._incarnations[shard]}"

    def logs(self) -> Iterable[Path]:
        """Of all primaries."""
        return self._root.glob("shard-*.log")

    def way(self, shard: int) -> Way:
        """To the primary that serves it, or is about to."""
        return self._ways[shard, self._incarnations[shard]]

    def between(self, source: int, target: int) -> list[tuple[Proxy, str]]:
        """Connections that the target of a move opens to its source."""
        return [(self.way(source).proxy, name_of(target))]

    def to_the_coordinator(self, shard: int) -> list[tuple[Proxy, str]]:
        assert self.to_coordinator is not None
        return [(self.to_coordinator.proxy, name_of(shard))]

    def meddlers(self) -> list[Meddler]:
        assert self.to_coordinator is not None
        return [self.to_coordinator.meddler, *(self.way(shard).meddler for shard in range(self._shards))]

    def messages(self) -> Counter[str]:
        """What meddlers did so far."""
        counts = Counter(self._closed)
        for meddler in (self.to_coordinator, *self._ways.values()):
            if meddler is not None:
                counts.update(meddler.meddler.counts)
        return counts

    def succeed(self, shard: int, *, planned: bool) -> None:
        before = self._incarnations[shard]
        super().succeed(shard, planned=planned)
        way = self._ways.pop((shard, before))
        self._closed.update(way.meddler.counts)
        way.__exit__()

    def _node(self, shard: int, name: str, listen: str, options: Iterable[str]) -> NodeProcess:
        if self.to_coordinator is None:
            port = int(self.address.rpartition(":")[2])
            self.to_coordinator = self._stack.enter_context(Way(port, self._names, self._rng))
        key = shard, self._incarnations[shard]
        if key not in self._ways:
            self._ways[key] = Way(free_ports(1)[0], self._names, self._rng).__enter__()
        way = self._ways[key]
        node = NodeProcess(
            f"127.0.0.1:{self.to_coordinator.proxy.port}",
            self.data(shard),
            *options,
            *("--advertise", f"127.0.0.1:{way.proxy.port}"),
            shard=shard,
            listen=f"127.0.0.1:{way.port}",
            name=name,
            log=self._root / f"{name}.log",
            environment=self._environment,
        )
        self._names.add(node.process, shard)
        return node
