"""`aidb bench cost`: each workload on both deployments, one after the other, and what it means."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aidb.cli import output
from aidb.cli.bench_cost.page import keep
from aidb.cli.bench_cost.prices import Cost, Measured, Prices, Scale, cost
from aidb.cli.bench_cost.systems import Put, System, ThreeCopies, WithObjectStore
from aidb.cli.bench_cost.workloads import WORKLOADS, Keys, Workload
from aidb.cli.progress import progress

#: Operations of one group of calls, of the load and of the run.
_LOAD_BATCH, _BATCH = 200, 64
#: What the seed promises: a change of cost, and of bytes between nodes.
COST_PROMISED, NETWORK_PROMISED = -0.5, -0.8
#: Where else the promise of cost is looked at: GB of data, operations a second, days of snapshots and log.
ELSEWHERE = (
    (10.0, 200.0, 7.0),
    (100.0, 200.0, 7.0),
    (100.0, 2000.0, 1.0),
    (1000.0, 2000.0, 7.0),
    (1000.0, 2000.0, 1.0),
)


@dataclass(frozen=True, slots=True)
class Load:
    """``cache_percent``: of the data, in each replica."""

    keys: int = 20_000
    value_size: int = 1000
    operations: int = 60_000
    replicas: int = 2
    cache_percent: int = 30
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One workload on one deployment, beside three copies."""

    workload: str
    name: str
    three: Measured
    three_cost: Cost
    aidb: Measured
    aidb_cost: Cost

    @property
    def cost_change(self) -> float:
        """Of storage, its requests, and nodes."""
        return self.aidb_cost.without_network / self.three_cost.without_network - 1

    @property
    def total_change(self) -> float:
        """Of all cost, with what is sent between nodes."""
        return self.aidb_cost.total / self.three_cost.total - 1

    def elsewhere(self, prices: Prices, scale: Scale) -> float:
        """`cost_change` at another scale."""
        ours, three = (cost(one, prices, scale).without_network for one in (self.aidb, self.three))
        return ours / three - 1

    @property
    def network_change(self) -> float | None:
        """Of the bytes between nodes; None where the three copies send none."""
        before = self.three.total("network")
        return self.aidb.total("network") / before - 1 if before else None

    def document(self) -> dict[str, Any]:
        network = self.network_change
        return {
            "workload": self.workload,
            "deployment": self.name,
            "three_copies": asdict(self.three) | {"cost": asdict(self.three_cost)},
            "aidb": asdict(self.aidb) | {"cost": asdict(self.aidb_cost)},
            "cost_change": round(self.cost_change, 4),
            "total_change": round(self.total_change, 4),
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
        three_cost = cost(three, prices, scale)
        for replicas in sorted({0, load.replicas}):
            ours = _measured(_with_object_store(load, replicas), workload, load, directory)
            name = f"{replicas} replicas" if replicas else "no replica"
            rows.append(Row(workload.name, name, three, three_cost, ours, cost(ours, prices, scale)))
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
        output.line("")
        output.table(*matrix(rows, prices, scale))
        for line in verdicts(rows):
            output.line(line)
    if page is not None:
        tables = [(HEADINGS, list(table(rows))), matrix(rows, prices, scale)]
        keep(page, load, prices, scale, list(verdicts(rows)), tables)


def _with_object_store(load: Load, replicas: int) -> Any:
    cache_bytes = max(1 << 20, load.keys * load.value_size * load.cache_percent // 100)
    return lambda stack, root: WithObjectStore(stack, root, replicas, cache_bytes)


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
        seconds = time.monotonic() - started
        after = system.usage()
        system.settle()
        end = system.usage()
    logical = sum(len(key) + load.value_size for key in present)
    loaded_, run, rest = before.since(begin), after.since(before), end.since(after)
    return Measured(loaded_, run, rest, load.operations, seconds, logical)


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
    for row in rows:
        three, ours = row.three, row.aidb
        yield (f"{row.workload}, {row.name}", "", "", "", "")
        for text, name in (("tables on disks", "tables"), ("log on disks", "log"), ("memory", "memory")):
            yield ("", text, *_sizes(getattr(three.end, name), getattr(ours.end, name)))
        yield ("", "processor, s", *_pair(three.total("cpu_us") / 1e6, ours.total("cpu_us") / 1e6))
        yield ("", "between nodes, load", *_sizes(three.loaded.network, ours.loaded.network))
        yield ("", "between nodes, run", *_sizes(three.total("network"), ours.total("network")))
        yield ("", "objects", "-", output.human_bytes(ours.end.objects), "")
        yield ("", "to the object store, run", "-", output.human_bytes(ours.total("uploaded")), "")
        requests = f"{ours.run.puts} + {ours.end.puts}"
        yield ("", "requests that write or list: run, snapshot", "-", requests, "")
        yield ("", "requests that read: run, snapshot", "-", f"{ours.run.gets} + {ours.end.gets}", "")
        for name in ("storage", "nodes", "requests", "network"):
            pair = _pair(getattr(row.three_cost, name), getattr(row.aidb_cost, name))
            yield ("", f"{name}, $ a month", *pair)


def matrix(rows: list[Row], prices: Prices, scale: Scale) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The change of the cost of storage and nodes, at other scales: headings and rows."""
    scales = [replace(scale, data_gb=gb, rate=rate, keep_days=days) for gb, rate, days in ELSEWHERE]
    names = (f"{one.data_gb:g} GB, {one.rate:g}/S, {one.keep_days:g} DAYS" for one in scales)
    cells = [
        (f"{row.workload}, {row.name}", *(f"{row.elsewhere(prices, one):+.0%}" for one in scales))
        for row in rows
    ]
    return ("STORAGE AND NODES", *names), cells


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Where the promises hold."""
    for row in rows:
        money = "holds" if row.cost_change <= COST_PROMISED else "does not hold"
        network = row.network_change
        if network is None:
            sent = "three copies send nothing between nodes here, so there is nothing to save"
        else:
            holds = "holds" if network <= NETWORK_PROMISED else "does not hold"
            sent = f"bytes between nodes {network:+.0%} (-80 % {holds})"
        spent = f"storage and nodes {row.cost_change:+.0%} (-50 % {money})"
        yield f"{row.workload}, {row.name}: {spent}; {sent}; all together {row.total_change:+.0%}"


def _pair(before: float, after: float) -> tuple[str, str, str]:
    return f"{before:.2f}", f"{after:.2f}", _change(before, after)


def _sizes(before: int, after: int) -> tuple[str, str, str]:
    return output.human_bytes(before), output.human_bytes(after), _change(before, after)


def _change(before: float, after: float) -> str:
    return f"{after / before - 1:+.0%}" if before else ""
