"""Rounds in which the engines alternate; of each workload the median, and the median of the pairs' ratios."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from aidb.cli import output
from aidb.cli.bench_engine.engines import ENGINES, check
from aidb.cli.bench_engine.workloads import Load, run

#: Below this part of RocksDB's rate a workload is named.
_ENOUGH = 0.8

#: By workload, of each engine the operations per second of each round.
Rates = dict[str, dict[str, list[float]]]


def bench(load: Load, rounds: int, directory: Path | None, as_json: bool) -> None:
    """Run it and print the figures."""
    check()
    rates: Rates = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds):
        for name, open in ENGINES.items():
            output.note(f"{name}, round {turn + 1} of {rounds}")
            with tempfile.TemporaryDirectory(prefix="aidb-bench-", dir=directory) as scratch:
                for workload, operations, seconds in run(open, Path(scratch), load):
                    rates[workload][name].append(operations / seconds)
    rows = compared(rates)
    if as_json:
        output.document(rows)
        return
    output.table(
        ("WORKLOAD", "AIDB /s", "ROCKSDB /s", "RATIO"),
        [(row["workload"], f"{row['aidb']:,}", f"{row['rocksdb']:,}", f"{row['ratio']:.2f}") for row in rows],
    )
    output.line(verdict(rows))


def compared(rates: Rates) -> list[dict[str, Any]]:
    """A row for each workload; a pair is the two runs of one round."""
    return [
        {
            "workload": workload,
            "aidb": round(median(of["aidb"])),
            "rocksdb": round(median(of["rocksdb"])),
            "ratio": round(median(a / b for a, b in zip(of["aidb"], of["rocksdb"], strict=True)), 3),
        }
        for workload, of in rates.items()
    ]


def verdict(rows: list[dict[str, Any]]) -> str:
    below = [f"{row['workload']} {row['ratio']:.2f}" for row in rows if row["ratio"] < _ENOUGH]
    middle = median(row["ratio"] for row in rows)
    return f"Rows below {_ENOUGH} times RocksDB: {', '.join(below) or 'none'}. Median row: {middle:.2f}."
