"""`aidb bench cost`: each workload on both deployments, one after the other, and what it means."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aidb.cli import output
from aidb.cli.bench_cost.page import keep
from aidb.cli.bench_cost.prices import Cost, Prices, Scale, cost
from aidb.cli.bench_cost.systems import Put, System, ThreeCopies, WithObjectStore
from aidb.cli.bench_cost.usage import Usage
from aidb.cli.bench_cost.workloads import WORKLOADS, Keys, Workload
from aidb.cli.progress import progress

#: Operations of one group of calls, of the load and of the run.
_LOAD_BATCH, _BATCH = 200, 64
#: What the seed promises: a change of cost, and of bytes between nodes.
COST_PROMISED, NETWORK_PROMISED = -0.5, -0.8


@dataclass(frozen=True, slots=True)
class Load:
    """``cache_percent``: of the data, in each replica."""

    keys: int = 50_000
    value_size: int = 1000
    operations: int = 100_000
    replicas: int = 2
    cache_percent: int = 30
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """``loaded``: of writing every key once; ``run``: of the operations, which took ``seconds``."""

    loaded: Usage
    run: Usage
    seconds: float
    logical: int


@dataclass(frozen=True, slots=True)
class Row:
    """One workload on both."""

    workload: str
    three: Measured
    aidb: Measured
    three_cost: Cost
    aidb_cost: Cost

    @property
    def cost_change(self) -> float:
        """Of storage, its requests, and nodes."""
        before, after = (one.storage + one.nodes + one.requests for one in (self.three_cost, self.aidb_cost))
        return after / before - 1

    @property
    def network_change(self) -> float | None:
        """Of the bytes between nodes during the run; None where the three copies send none."""
        before = self.three.run.network
        return self.aidb.run.network / before - 1 if before else None

    def document(self) -> dict[str, Any]:
        network = self.network_change
        return {
            "workload": self.workload,
            "three_copies": asdict(self.three) | {"cost": asdict(self.three_cost)},
            "aidb": asdict(self.aidb) | {"cost": asdict(self.aidb_cost)},
            "cost_change": round(self.cost_change, 4),
            "cost_promise_holds": self.cost_change <= COST_PROMISED,
            "network_change": None if network is None else round(network, 4),
            "network_promise_holds": network is not None and network <= NETWORK_PROMISED,
        }


def bench(
    load: Load, prices: Prices, scale: Scale, directory: Path | None, page: Path | None, as_json: bool
) -> None:
    """Run it and print the figures; ``page`` gets them, too."""
    rows = []
    for workload in WORKLOADS:
        three = _measured(ThreeCopies, workload, load, directory)
        ours = _measured(_with_object_store(load), workload, load, directory)
        costs = [
            cost(one.run, one.logical, load.operations, one.seconds, prices, scale) for one in (three, ours)
        ]
        rows.append(Row(workload.name, three, ours, *costs))
    if as_json:
        output.document(
            {
                "load": asdict(load),
                "prices": asdict(prices),
                "scale": asdict(scale),
                "workloads": [row.document() for row in rows],
            }
        )
    else:
        output.table(HEADINGS, list(table(rows)))
        for line in verdicts(rows):
            output.line(line)
    if page is not None:
        keep(page, load, prices, scale, HEADINGS, list(table(rows)), list(verdicts(rows)))


def _with_object_store(load: Load) -> Any:
    cache_bytes = max(1 << 20, load.keys * load.value_size * load.cache_percent // 100)
    return lambda stack, root: WithObjectStore(stack, root, load.replicas, cache_bytes)


def _measured(make: Any, workload: Workload, load: Load, directory: Path | None) -> Measured:
    draw = random.Random(load.seed)
    keys = Keys(load.keys, load.seed)
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="aidb-cost-", dir=directory))
        system: System = make(stack, Path(scratch) / "cluster")
        begin = system.usage()
        loaded = keys.loaded(workload.absent)
        present = set(loaded)
        for first in range(0, len(loaded), _LOAD_BATCH):
            batch = loaded[first : first + _LOAD_BATCH]
            system.write([(key, draw.randbytes(load.value_size), 0) for key in batch])
        system.settle()
        before = system.usage()
        started = time.monotonic()
        advance = stack.enter_context(progress(f"{workload.name}, {type(system).__name__}", load.operations))
        for done, (puts, reads) in enumerate(_groups(keys, workload, load, draw)):
            if puts:
                system.write(puts)
                present.update(key for key, _, _ in puts)
            if reads:
                found = system.read(reads)
                missed = dict.fromkeys(key for key in reads if key not in found)
                if workload.fills and missed:
                    system.write([(key, draw.randbytes(load.value_size), workload.ttl_ms) for key in missed])
                    present.update(missed)
            advance(done * _BATCH, "")
        system.settle()
        after = system.usage()
        seconds = time.monotonic() - started
    logical = sum(len(key) + load.value_size for key in present)
    return Measured(before.since(begin), after.since(before), seconds, logical)


def _groups(
    keys: Keys, workload: Workload, load: Load, draw: random.Random
) -> Iterator[tuple[list[Put], list[bytes]]]:
    """Writes of a group, each key once, then its reads."""
    left = load.operations
    while left > 0:
        puts: dict[bytes, Put] = {}
        reads: list[bytes] = []
        for operation in keys.draw(workload, min(left, _BATCH)):
            if operation.write:
                value = draw.randbytes(load.value_size)
                puts[operation.key] = operation.key, value, workload.ttl_ms
            else:
                reads.append(operation.key)
        left -= _BATCH
        yield list(puts.values()), reads


HEADINGS = ("WORKLOAD", "FIGURE", "THREE COPIES", "AIDB", "CHANGE")


def table(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Every figure of every workload."""
    size = output.human_bytes
    for row in rows:
        three, ours = row.three, row.aidb
        per = row.three.logical
        yield (
            row.workload,
            "disk, per byte of data",
            *_pair(three.run.disk / per, ours.run.disk / per, ".2f"),
        )
        yield ("", "object store, per byte of data", "-", f"{ours.run.objects / per:.2f}", "")
        yield ("", "memory of nodes", size(three.run.memory), size(ours.run.memory), _change(
            three.run.memory, ours.run.memory
        ))  # fmt: skip
        yield ("", "processor, s", *_pair(three.run.cpu_us / 1e6, ours.run.cpu_us / 1e6, ".2f"))
        yield ("", "between nodes, load", size(three.loaded.network), size(ours.loaded.network), _change(
            three.loaded.network, ours.loaded.network
        ))  # fmt: skip
        yield ("", "between nodes, run", size(three.run.network), size(ours.run.network), _change(
            three.run.network, ours.run.network
        ))  # fmt: skip
        yield ("", "to the object store, run", "-", size(ours.run.uploaded), "")
        yield ("", "requests that write or list, run", "-", str(ours.run.puts), "")
        yield ("", "requests that read, run", "-", str(ours.run.gets), "")
        for name in ("storage", "nodes", "network", "requests"):
            before, after = getattr(row.three_cost, name), getattr(row.aidb_cost, name)
            yield ("", f"{name}, $ a month", *_pair(before, after, ".2f"))


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Where the promises hold."""
    for row in rows:
        money = "holds" if row.cost_change <= COST_PROMISED else "does not hold"
        network = row.network_change
        if network is None:
            sent = "three copies send nothing here, so there is nothing to save"
        else:
            holds = "holds" if network <= NETWORK_PROMISED else "does not hold"
            sent = f"{network:+.0%} bytes between nodes (-80 % {holds})"
        yield f"{row.workload}: {row.cost_change:+.0%} cost of storage and nodes (-50 % {money}); {sent}"


def _pair(before: float, after: float, style: str) -> tuple[str, str, str]:
    return format(before, style), format(after, style), _change(before, after)


def _change(before: float, after: float) -> str:
    return f"{after / before - 1:+.0%}" if before else ""
