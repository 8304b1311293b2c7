"""Rounds in which the engines alternate; of each workload the median, and the median of the pairs' ratios."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from aidb.cli import output
from aidb.cli.bench_engine.engines import ENGINES, check
from aidb.cli.bench_engine.workloads import Load, run

#: Below this part of RocksDB's rate a workload is named.
_ENOUGH = 0.8


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one run: operations per second, and CPU-us per operation with the engine's threads."""

    per_second: float
    cpu_us: float


#: By workload, of each engine the rounds.
Rates = dict[str, dict[str, list[Rate]]]


def bench(load: Load, rounds: int, directory: Path | None, as_json: bool) -> None:
    """Run it and print the figures."""
    check()
    rates: Rates = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds):
        for name, open in ENGINES.items():
            output.note(f"{name}, round {turn + 1} of {rounds}")
            with tempfile.TemporaryDirectory(prefix="aidb-bench-", dir=directory) as scratch:
                for workload, operations, seconds, cpu in run(open, Path(scratch), load):
                    rate = Rate(operations / seconds, cpu * 1e6 / operations)
                    rates[workload][name].append(rate)
    rows = compared(rates)
    if as_json:
        output.document(rows)
        return
    output.table(
        ("WORKLOAD", "AIDB /s", "ROCKSDB /s", "RATIO", "CPU-US AIDB", "CPU-US ROCKSDB"),
        [
            (
                row["workload"],
                f"{row['aidb']:,}",
                f"{row['rocksdb']:,}",
                f"{row['ratio']:.2f}",
                f"{row['aidb_cpu_us']:.2f}",
                f"{row['rocksdb_cpu_us']:.2f}",
            )
            for row in rows
        ],
    )
    output.line(verdict(rows))


def compared(rates: Rates) -> list[dict[str, Any]]:
    """A row for each workload; a pair is the two runs of one round."""
    rows = []
    for workload, of in rates.items():
        pairs = zip(of["aidb"], of["rocksdb"], strict=True)
        row: dict[str, Any] = {"workload": workload}
        for engine in ENGINES:
            row[engine] = round(median(rate.per_second for rate in of[engine]))
        row["ratio"] = round(median(a.per_second / b.per_second for a, b in pairs), 3)
        for engine in ENGINES:
            row[f"{engine}_cpu_us"] = round(median(rate.cpu_us for rate in of[engine]), 3)
        rows.append(row)
    return rows


def verdict(rows: list[dict[str, Any]]) -> str:
    below = [f"{row['workload']} {row['ratio']:.2f}" for row in rows if row["ratio"] < _ENOUGH]
    middle = median(row["ratio"] for row in rows)
    return f"Rows below {_ENOUGH} times RocksDB: {', '.join(below) or 'none'}. Median row: {middle:.2f}."
